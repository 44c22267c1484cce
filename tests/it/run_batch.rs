//! A job from its manifest to its results, as a user sees it.

use std::{collections::BTreeSet, fmt::Write as _, fs, path::Path, time::SystemTime};

use insta::assert_snapshot;
use restore_batch::{
    core::Micros,
    testing::scripted_server::{Reply, ScriptedServer},
};
use serde_json::json;

use super::support::{
    Audit, Command, Photos, Service, World, audit, colour, png, redact, visible_files,
};

/// Adds up a column of US dollars.
fn sum(column: &[&str]) -> Micros {
    column.iter().map(|amount| amount.parse::<Micros>().unwrap()).sum()
}

/// Checks that each artifact shows the photo of its row: no two were mixed up.
#[track_caller]
fn each_row_has_its_own_photo(job: &Path, audit: &Audit, photo_of: impl Fn(usize) -> usize) {
    let rows = audit.results.column("number").into_iter().zip(audit.results.column("output"));
    for (number, output) in rows {
        let picture = image::open(job.join(output)).unwrap().to_rgb8();
        assert_eq!(picture.dimensions(), (12, 8), "{output}");
        let number = number.parse().unwrap();
        assert_eq!(picture.get_pixel(5, 5).0, colour(photo_of(number)), "row {number}: {output}");
    }
}

/// When every file of a job's images was written.
fn written(job: &Path) -> Vec<(std::path::PathBuf, SystemTime)> {
    let when = |path: &std::path::PathBuf| fs::metadata(path).unwrap().modified().unwrap();
    visible_files(&job.join("images")).into_iter().map(|path| (path.clone(), when(&path))).collect()
}

#[test]
fn a_job_from_manifest_to_results() {
    let world = World::new();
    let (service, photos) = (Service::start(&world), Photos::start(&world, 24));
    let mut manifest = "number,img,note\n".to_owned();
    // Rows 24 to 27 name photos 0 to 3 again; 28 and 29 cannot be used.
    for row in 0..28 {
        let note = ["\"Smith, \"\"Jo\"\"\"", "=1+1", " two  spaces ", "Œuvre №1"][row % 4];
        writeln!(manifest, "{row},{},{note}", photos.url(row % 24)).unwrap();
    }
    manifest += "28,,nothing\n29,ftp://example.org/a.png,old\n";
    world.write("photos.csv", &manifest);
    let run = || Command::new(&world, &["photos.csv", "--json"]).with(&service).run();

    let summary = run().code(3).json();
    let counts = ["rows", "items", "done", "failed", "in_doubt", "waiting"].map(|n| &summary[n]);
    assert_eq!(json!(counts), json!([30, 26, 24, 2, 0, 0]));
    assert_eq!(json!([summary["charged_usd"], summary["saved_usd"]]), json!(["0.0744", "0.0124"]));
    assert_eq!((service.accepted(), service.charged()), (24, Micros(24 * 3_100)));

    let job = world.path("photos.restored");
    let found = audit(&world, "photos.restored");
    assert_eq!(found.every_row_ended_once(30), (28, 2));
    assert_snapshot!(format!("{:?}\n{:?}", found.results.header, found.failures.header));
    assert_eq!(sum(&found.results.column("cost_usd")), service.charged());
    assert_eq!(found.results.column("output")[24..], found.results.column("output")[..4]);
    let notes: BTreeSet<&str> = found.results.column("note").into_iter().collect();
    let expected = ["Smith, \"Jo\"", "'=1+1", " two  spaces ", "Œuvre №1"];
    assert_eq!(notes, BTreeSet::from(expected));
    assert_snapshot!(found.failures.column("reason").join("\n"));
    each_row_has_its_own_photo(&job, &found, |row| row % 24);

    // A closed ledger is one file, which can be copied.
    let state = visible_files(&job.join(".restore-batch"));
    assert_eq!(
        state,
        ["ledger.db", "lock", "manifest"].map(|name| job.join(".restore-batch").join(name))
    );

    // Again: nothing is sent, and the files are the same ones.
    let before = (written(&job), world.read("photos.restored/results.csv"));
    assert_eq!(run().code(3).json()["charged_usd"], "0.0744");
    assert_eq!(service.accepted(), 24);
    assert_eq!((written(&job), world.read("photos.restored/results.csv")), before);
}

#[test]
fn an_edited_manifest_submits_only_what_is_new() {
    let world = World::new();
    let (service, photos) = (Service::start(&world), Photos::start(&world, 6));
    let run = || Command::new(&world, &["photos.csv"]).with(&service).run().code(0);
    world.write("photos.csv", photos.rows(0..4));
    run();
    // One removed, the others turned around, two added, one wanted larger.
    world.write("photos.csv", photos.rows([4, 3, 2, 5, 1]));
    run();
    assert_eq!(service.accepted(), 6);
    service.accepted_nothing_twice();
    let found = audit(&world, "photos.restored");
    assert_eq!(found.results.column("number"), ["4", "3", "2", "5", "1"]);
    each_row_has_its_own_photo(&world.path("photos.restored"), &found, |row| row);

    let larger =
        photos.rows([4]).replace("img,number", "img,number,scale").replace(",4\n", ",4,3\n");
    world.write("photos.csv", larger);
    run();
    assert_eq!(service.accepted(), 7, "another scale is another picture");
}

/// An export that is signed anew: what was not sent goes out under its fresh address.
#[test]
fn a_fresh_signature_is_used_for_what_was_not_submitted() {
    let world = World::new();
    let (service, photos) = (Service::start(&world), Photos::start(&world, 3));
    let manifest = |signature: &str| {
        let row = |number| format!("{number},{}?sig={signature},{number}\n", photos.url(number));
        format!("id,img,number\n{}{}{}", row(0), row(1), row(2))
    };
    world.write("photos.csv", manifest("old"));
    let capped = Command::new(&world, &["photos.csv", "--max-spend=0.0031"]);
    capped.with(&service).run().code(4);
    assert_eq!(service.accepted(), 1);

    world.write("photos.csv", manifest("new"));
    Command::new(&world, &["photos.csv"]).with(&service).run().code(0);
    assert_eq!(service.accepted(), 3);
    service.accepted_nothing_twice();
    let read: Vec<_> = photos.server.requests().into_iter().map(|read| read.target).collect();
    let with = |signature| read.iter().filter(|target| target.ends_with(signature)).count();
    assert_eq!((with("?sig=old"), with("?sig=new")), (1, 2), "{read:?}");
    let found = audit(&world, "photos.restored");
    each_row_has_its_own_photo(&world.path("photos.restored"), &found, |row| row);
}

#[test]
fn failures_are_a_manifest_and_retry_pays_only_for_what_was_mended() {
    let world = World::new();
    let (service, photos) = (Service::start(&world), Photos::start(&world, 2));
    let manifest = photos.rows(0..4);
    world.write("photos.csv", &manifest);
    Command::new(&world, &["photos.csv"]).with(&service).run().code(3);
    assert_eq!(audit(&world, "photos.restored").every_row_ended_once(4), (2, 2));
    assert_eq!(service.accepted(), 4);

    photos.server.add("GET /photo-2.png", Reply::ok(png(2)));
    let retry = || Command::new(&world, &["retry", "photos.csv"]).with(&service).run();
    let ended = retry().code(3);
    assert_snapshot!(redact(&world, &ended));
    assert_eq!(service.accepted(), 6);
    let found = audit(&world, "photos.restored");
    assert_eq!(found.every_row_ended_once(4), (3, 1));
    assert_eq!(found.results.column("cost_usd"), ["0.0031", "0.0031", "0.0062"]);
    assert_eq!(sum(&found.results.column("cost_usd")) + Micros(6_200), service.charged());

    photos.server.add("GET /photo-3.png", Reply::ok(png(3)));
    let failures = "photos.restored/failures.csv";
    Command::new(&world, &[failures]).with(&service).run().code(0);
    let second = audit(&world, "photos.restored/failures.restored");
    assert_eq!(second.results.header[..2], ["img", "number"], "our own columns are not kept");
    assert_eq!(second.results.column("number"), ["3"]);
}

#[test]
fn a_local_path_needs_a_way_to_the_service() {
    let world = World::new();
    let (service, photos) = (Service::start(&world), Photos::start(&world, 0));
    let name = "über süß #1.png";
    world.write(&format!("scans/{name}"), png(0));
    photos.server.add("GET /pub/%C3%BCber%20s%C3%BC%C3%9F%20%231.png", Reply::ok(png(0)));
    world.write("photos.csv", format!("img,number\nscans/{name},0\nscans/missing.png,1\n"));
    let plan = Command::new(&world, &["plan", "photos.csv"]).run().code(0);
    assert_snapshot!(redact(&world, &plan));

    Command::new(&world, &["photos.csv"]).with(&service).run().code(3);
    assert_eq!(service.accepted(), 0);
    let failures = audit(&world, "photos.restored").failures;
    assert_snapshot!(failures.column("reason").join("\n"));

    let base = format!("--public-base=scans={}", photos.server.url("/pub"));
    Command::new(&world, &["retry", "photos.csv", &base]).with(&service).run().code(3);
    let found = audit(&world, "photos.restored");
    assert_eq!(found.every_row_ended_once(2), (1, 1));
    assert_eq!(found.results.column("output"), ["images/scans/über süß #1.png"]);
    let missing = world.path("scans/missing.png").display().to_string();
    assert_eq!(found.failures.column("reason"), [format!("`{missing}` does not exist")]);
    assert_eq!(found.failures.column("img"), ["../scans/missing.png"], "readable from there");
    assert_eq!(service.accepted(), 1);
}

#[test]
fn local_restores_files_of_this_machine_for_nothing() {
    let world = World::new();
    for number in 0..3 {
        world.write(&format!("album/photo {number}.png"), png(number));
    }
    world.write("photos.csv", "img\nalbum/photo 0.png\nalbum/photo 1.png\n./album/photo 2.png\n");
    let run = || Command::new(&world, &["--local", "photos.csv", "--json"]).fast().run();
    let summary = run().code(0).json();
    assert_eq!(json!([summary["done"], summary["charged_usd"]]), json!([3, "0.00"]));
    let found = audit(&world, "photos.restored");
    assert_eq!(found.results.column("width"), ["12"; 3]);
    assert_eq!(found.results.column("output")[0], "images/album/photo 0.png");
    let before = written(&world.path("photos.restored"));
    run().code(0);
    assert_eq!(written(&world.path("photos.restored")), before);
}

#[test]
fn manifests_come_in_several_forms() {
    let world = World::new();
    let (service, photos) = (Service::start(&world), Photos::start(&world, 2));
    let (one, two) = (photos.url(0), photos.url(1));
    world.write("tabs.tsv", format!("number\tImage\r\n0\t{one}\r\n1\t{two}\r\n"));
    world.write("semicolons.csv", format!("\u{feff}number;URL\n0;{one}\n1;{two}\n"));
    world.write(
        "lines.jsonl",
        format!("{{\"number\":0,\"img\":\"{one}\"}}\n{{\"img\":\"{two}\",\"number\":1}}\n"),
    );
    for file in ["tabs.tsv", "semicolons.csv", "lines.jsonl"] {
        Command::new(&world, &[file]).with(&service).run().code(0);
        let job = format!("{}.restored", file.split('.').next().unwrap());
        let found = audit(&world, &job);
        assert_eq!(found.every_row_ended_once(2), (2, 0), "{file}");
        each_row_has_its_own_photo(&world.path(&job), &found, |row| row);
    }

    let from_stdin = || Command::new(&world, &["-", "--out", "elsewhere/job"]).with(&service);
    from_stdin().stdin(photos.manifest()).run().code(0);
    assert_eq!(audit(&world, "elsewhere/job").every_row_ended_once(2), (2, 0));
    let accepted = service.accepted();
    from_stdin().stdin(photos.manifest()).run().code(0);
    assert_eq!(service.accepted(), accepted, "the same folder continues the job");

    world.write("list.csv", format!("{one}\n{two}\n"));
    Command::new(&world, &["list.csv"]).with(&service).run().code(0);
    assert_eq!(audit(&world, "list.restored").results.column("img"), [&one, &two]);
}

#[test]
fn names_are_kept_and_never_collide() {
    let world = World::new();
    let service = Service::start(&world);
    let server = world.block_on(ScriptedServer::start(vec![]));
    let paths = [
        "/a/Photo.png",
        "/a/photo.png",
        "/a/PHOTO.jpg",
        "/b/photo.png",
        "/b/photo.png?size=2",
        "/caf%C3%A9.png",
        "/cafe%CC%81.png",
        "/two%20words.png",
        "/..%2f..%2fetc%2fpasswd",
        "/con.png",
        "/a/photo-2.png",
        "/%E5%86%99%E7%9C%9F.png",
    ];
    let mut manifest = "img,number\n".to_owned();
    for (number, path) in paths.iter().enumerate() {
        server.add(&format!("GET {}", path.split('?').next().unwrap()), Reply::ok(png(number)));
        writeln!(manifest, "{},{number}", server.url(path)).unwrap();
    }
    world.write("photos.csv", manifest);
    Command::new(&world, &["photos.csv"]).with(&service).run().code(0);
    let found = audit(&world, "photos.restored");
    let outputs = found.results.column("output");
    let folded: BTreeSet<String> = outputs.iter().map(|output| output.to_lowercase()).collect();
    assert_eq!(folded.len(), paths.len(), "{outputs:#?}");
    assert_eq!(visible_files(&world.path("photos.restored/images")).len(), paths.len());
    assert_snapshot!(outputs.join("\n"));
}

#[test]
fn plan_check_and_status_tell_and_spend_nothing() {
    let world = World::new();
    let (service, photos) = (Service::start(&world), Photos::start(&world, 5));
    world.write("photos.csv", format!("{}{},5\nftp://x/y,6\n", photos.manifest(), photos.url(0)));
    let said = |words: &[&str], code| {
        redact(&world, &Command::new(&world, words).with(&service).run().code(code))
    };
    assert_snapshot!(said(&["plan", "photos.csv", "--max-spend=0.01"], 0));
    assert_snapshot!(said(&["check", "photos.csv"], 0));
    assert!(!world.path("photos.restored").exists(), "neither leaves anything");
    assert_eq!(service.accepted(), 0);

    Command::new(&world, &["photos.csv"]).with(&service).run().code(3);
    assert_snapshot!(said(&["status", "photos.csv"], 3));
    assert_snapshot!(said(&["plan", "photos.csv"], 0));
    let json = |command: &str, code| {
        Command::new(&world, &[command, "photos.csv", "--json"])
            .with(&service)
            .run()
            .code(code)
            .json()
    };
    assert_eq!(json("status", 3)["done"], 5);
    assert_eq!(json("plan", 0)["bad_rows"], 1);
    assert_eq!(service.accepted(), 5);

    let show = Command::new(&world, &["check", "--show", "--local"]);
    let show = show.env("RESTORE_BATCH_SCALE", "3").run().code(0).stdout;
    assert!(show.contains("# environment RESTORE_BATCH_SCALE"), "{show}");
}

#[test]
fn plan_counts_what_an_edited_manifest_adds() {
    let world = World::new();
    let (service, photos) = (Service::start(&world), Photos::start(&world, 8));
    let plan = || {
        let words = ["plan", "photos.csv", "--json"];
        let plan = Command::new(&world, &words).with(&service).run().code(0).json();
        (plan["to_submit"].as_u64(), plan["cost_usd"].clone())
    };
    world.write("photos.csv", photos.rows(0..5));
    Command::new(&world, &["photos.csv"]).with(&service).run().code(0);
    assert_eq!(plan(), (Some(0), "0.00".into()));

    // Five done, of which three are named no more; three new.
    world.write("photos.csv", photos.rows(3..8));
    assert_eq!(plan(), (Some(3), "0.0093".into()));
    assert_eq!(plan(), (Some(3), "0.0093".into()), "planning changes nothing");
    Command::new(&world, &["photos.csv"]).with(&service).run().code(0);
    assert_eq!(service.accepted(), 8);
}

#[test]
fn completions_and_manual_name_the_commands() {
    let world = World::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = Command::new(&world, &["completions", shell]).run().code(0).stdout;
        for word in ["restore-batch", "status", "submit-rate"] {
            assert!(script.contains(word), "{shell}: no `{word}`");
        }
    }
    let manual = Command::new(&world, &["man"]).run().code(0).stdout;
    for part in [".TH", "SYNOPSIS", "restore\\-batch\\-retry", "\\-\\-submit\\-rate"] {
        assert!(manual.contains(part), "no `{part}` in the manual");
    }
}
