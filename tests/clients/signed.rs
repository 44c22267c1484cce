//! A signed callback, as a receiver in another language sees it.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    process::Stdio,
};

use restore_batch::testing::scripted_server::{Reply, ScriptedServer};

use crate::{
    gateway::{GatewayProcess, WEBHOOK_SECRET},
    support::{World, png},
    tools::{program, python_programs, root},
};

#[test]
fn a_receiver_that_follows_the_specification_accepts_a_callback() {
    let world = World::new();
    let photos = world.block_on(ScriptedServer::start(vec![]));
    photos.add("GET /old.png", Reply::ok(png(1)));
    let mut receiver = program(&world, python_programs().join("python"));
    receiver.arg(root().join("tests/clients/receiver.py")).arg(WEBHOOK_SECRET);
    let mut receiver = receiver.stdout(Stdio::piped()).spawn().unwrap();
    let mut heard = BufReader::new(receiver.stdout.take().unwrap());
    let mut address = String::new();
    heard.read_line(&mut address).unwrap();

    let gateway = GatewayProcess::start(&world, &[]);
    let id = gateway.restored(&photos.url("/old.png"), Some(address.trim()));
    let mut called = String::new();
    // It ends by itself, after one callback or a minute.
    heard.read_to_string(&mut called).unwrap();
    assert!(receiver.wait().unwrap().success());
    assert_eq!(called.trim(), format!("True False {id} COMPLETED"));
    gateway.end();
}
