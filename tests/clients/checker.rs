//! The gateway's own description against what the gateway does, by schemathesis: it makes
//! requests that fit the document and requests that do not, and looks for answers,
//! headers and bodies that the document does not have.

use std::collections::BTreeSet;

use restore_batch::testing::scripted_server::{Reply, ScriptedServer};

use crate::{
    gateway::GatewayProcess,
    support::{KEY, World, png},
    tools::{program, python_programs, root, said},
};

/// What must have been answered: a check that never comes that far checks nothing.
const ANSWERS: [&str; 16] = [
    "POST /gfpgan/v1/gfpgan/generate 202",
    "POST /gfpgan/v1/gfpgan/generate 400",
    "POST /gfpgan/v1/gfpgan/generate 401",
    "POST /gfpgan/v1/gfpgan/generate 415",
    "PATCH /gfpgan/v1/gfpgan/generate 405",
    "GET /v2/requests/status/{request_id} 200",
    "GET /v2/requests/status/{request_id} 401",
    "GET /v2/requests/status/{request_id} 404",
    "GET /media/{request_id}/output.png 200",
    "GET /media/{request_id}/output.png 206",
    "GET /media/{request_id}/output.png 304",
    "GET /media/{request_id}/output.png 404",
    "GET /media/{request_id}/output.png 416",
    "DELETE /media/{request_id}/output.png 405",
    "GET /healthz 200",
    "GET /readyz 200",
];

#[test]
fn no_answer_differs_from_the_document() {
    let world = World::new();
    let server = world.block_on(ScriptedServer::start(vec![]));
    server.add("GET /old.png", Reply::ok(png(1)));
    server.add("POST /hook", Reply::status(204));
    let picture = server.url("/old.png");
    let gateway = GatewayProcess::start(&world, &["--queue=100000"]);
    let done = gateway.restored(&picture, None);
    let tests = root().join("tests/clients");
    let mut checker = program(&world, python_programs().join("schemathesis"));
    checker
        .arg("--config-file")
        .arg(tests.join("schemathesis.toml"))
        .arg("run")
        .arg(format!("{}/openapi.json", gateway.base()))
        .env("PYTHONPATH", &tests)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .envs([("GATEWAY_KEY", KEY), ("PICTURE", &picture), ("DONE", &done)])
        .envs([("HOOK", server.url("/hook").as_str()), ("ANSWERS", "answers.txt")]);
    let ended = checker.output().unwrap();
    assert!(ended.status.success(), "{}", said(&ended));
    let answers = world.read("answers.txt");
    let answered: BTreeSet<&str> = answers.lines().collect();
    let missing: Vec<_> = ANSWERS.iter().filter(|answer| !answered.contains(*answer)).collect();
    assert!(missing.is_empty(), "never answered: {missing:#?}\n{answered:#?}");
    gateway.end();
}
