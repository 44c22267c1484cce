//! The clients of the provider's page, with nothing changed but host, key and picture.

use std::{fs, io::Cursor, process::Output};

use image::{DynamicImage, GenericImageView as _, ImageFormat, RgbImage};
use restore_batch::testing::scripted_server::{Reply, ScriptedServer};

use crate::{
    gateway::GatewayProcess,
    support::{KEY, World},
    tools::{program, python_programs, root, said},
};

/// What the page names, and a user replaces.
const HOST: &str = "https://gateway.pixazo.ai";
const YOUR_KEY: &str = "YOUR_API_KEY";
const PICTURE: &str = "https://pub-582b7213209642b9b995c96c95a30381.r2.dev/input_model.png";

/// Size of the picture that is restored, which is too small for a face.
const SIZE: (u32, u32) = (40, 28);

const CLIENTS: [&str; 3] = ["client.py", "client.mjs", "client.sh"];

/// A loopback server with one old photo.
fn photos(world: &World) -> ScriptedServer {
    let picture = RgbImage::from_fn(SIZE.0, SIZE.1, |x, y| {
        let level = |n: u32| u8::try_from(n % 256).unwrap();
        image::Rgb([level(x * 6), level(y * 9), level(x * y)])
    });
    let mut png = Cursor::new(Vec::new());
    DynamicImage::from(picture).write_to(&mut png, ImageFormat::Png).unwrap();
    let server = world.block_on(ScriptedServer::start(vec![]));
    server.add("GET /old.png", Reply::ok(png.into_inner()));
    server.otherwise(Reply::status(404));
    server
}

/// Runs one client with its own interpreter.
fn run(world: &World, client: &str, base: &str, key: &str, picture: &str) -> Output {
    let text = fs::read_to_string(root().join("tests/clients").join(client)).unwrap();
    for placeholder in [HOST, YOUR_KEY, PICTURE] {
        assert!(text.contains(placeholder), "{client} does not name {placeholder}");
    }
    let text = text.replace(HOST, base).replace(YOUR_KEY, key).replace(PICTURE, picture);
    world.write(client, text);
    let interpreter = match client.split('.').next_back() {
        Some("py") => python_programs().join("python"),
        Some("mjs") => "node".into(),
        _ => "bash".into(),
    };
    // It installs whichever interpreter is missing.
    python_programs();
    let mut command = program(world, interpreter);
    command.args([client, &output(client)]).env("POLL_SECONDS", "0.1").output().unwrap()
}

fn output(client: &str) -> String {
    format!("{client}.png")
}

#[test]
fn each_client_gets_its_picture() {
    let world = World::new();
    let photos = photos(&world);
    let gateway = GatewayProcess::start(&world, &[]);
    for client in CLIENTS {
        let ended = run(&world, client, gateway.base(), KEY, &photos.url("/old.png"));
        assert!(ended.status.success(), "{client}: {}", said(&ended));
        let png = fs::read(world.path(output(client))).unwrap();
        assert_eq!(image::guess_format(&png).unwrap(), ImageFormat::Png, "{client}");
        let restored = image::load_from_memory(&png).unwrap();
        assert_eq!(restored.dimensions(), (2 * SIZE.0, 2 * SIZE.1), "{client}");
    }
    assert_eq!(photos.requests().len(), CLIENTS.len());
    gateway.end();
}

#[test]
fn each_client_is_told_why_not() {
    let world = World::new();
    let photos = photos(&world);
    // The price of one request for each client but the last, and then nothing.
    let gateway = GatewayProcess::start(&world, &["--balance=0.0062"]);
    let refused = |client: &str, key: &str, picture: &str, why: &str| {
        let ended = run(&world, client, gateway.base(), key, picture);
        assert!(!ended.status.success(), "{client}: {}", said(&ended));
        let printed = String::from_utf8_lossy(&ended.stdout).into_owned();
        assert!(printed.contains(why), "{client} does not print {why}: {}", said(&ended));
        assert!(!world.path(output(client)).exists());
    };
    let missing = photos.url("/missing.png");
    for client in CLIENTS {
        refused(client, "wrong-key", &missing, "The subscription key is missing or invalid.");
        refused(client, KEY, "no-url", "'img' must be a valid HTTP or HTTPS URL");
    }
    // Accepted, charged, and failed for the picture's own reason.
    for client in &CLIENTS[..2] {
        refused(client, KEY, &missing, "FAILED");
    }
    for client in CLIENTS {
        refused(client, KEY, &missing, "Your wallet does not have enough balance.");
    }
    gateway.end();
}
