//! The same job in real time: the release binary against a small service on loopback.
//!
//! The service takes as long for each image as the script does in virtual time (the same
//! draws), so that the ideal schedule is the same, and so should the figures be.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io::Cursor,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    response::IntoResponse,
    routing,
};
use image::{DynamicImage, ImageFormat};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::{net::TcpListener, process::Command, time::Instant};

use crate::{
    Result,
    case::{self, Case},
    ideal, job,
    limit::Counter,
    service::number_in,
};

const SEED: u64 = 1;

/// What the service knows.
struct Service {
    case: Case,
    began: Instant,
    wall: Timestamp,
    base_url: String,
    picture: Vec<u8>,
    books: Mutex<Books>,
}

struct Books {
    submits: Counter,
    polls: Counter,
    requests: BTreeMap<u32, Request>,
    closest: Option<Duration>,
}

struct Request {
    accepted: Duration,
    took: Duration,
    polled: Option<Duration>,
}

type Shared = State<Arc<Service>>;

impl Service {
    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wall_at(&self, at: Duration) -> String {
        let at = SignedDuration::try_from(at).unwrap_or_default();
        self.wall.saturating_add(at).unwrap_or(self.wall).to_string()
    }
}

/// Runs `images` through the binary and prints its figures beside those of virtual time.
pub(crate) fn check(images: u32) -> Result<()> {
    let case = case::all().swap_remove(0);
    let case = Case { images, ..case };
    let virtually = job::run(&case, SEED)?;
    let ideal = ideal::of(&case, SEED);
    println!("| Time | Wall, s | Wall / ideal | Polls per image | Closest polls, s | 429s |");
    println!("| --- | --- | --- | --- | --- | --- |");
    let line = |name, wall: Duration, polls: usize, closest: Option<Duration>, refused: usize| {
        let (wall, ideal) = (wall.as_secs_f64(), ideal.wall.as_secs_f64());
        let polls = polls as f64 / f64::from(images);
        let closest = closest.unwrap_or_default().as_secs_f64();
        println!(
            "| {name} | {wall:.1} | {:.3} | {polls:.2} | {closest:.2} | {refused} |",
            wall / ideal
        );
    };
    let refused = virtually.refused.len() + virtually.refused_polls;
    line("virtual", virtually.wall, virtually.polls, virtually.closest, refused);
    let runtime = tokio::runtime::Runtime::new()?;
    let (wall, books) = runtime.block_on(real(case))?;
    let polls = books.polls.accepted.len() + books.polls.refused.len();
    let refused = books.submits.refused.len() + books.polls.refused.len();
    line("real", wall, polls, books.closest, refused);
    Ok(())
}

async fn real(case: Case) -> Result<(Duration, Books)> {
    let folder = tempfile::tempdir()?;
    let manifest = folder.path().join("photos.csv");
    let mut rows = "img\n".to_owned();
    for image in 0..case.images {
        writeln!(rows, "https://example.org/{image}.jpg")?;
    }
    std::fs::write(&manifest, rows)?;
    let mut picture = Cursor::new(Vec::new());
    DynamicImage::new_rgb8(8, 8).write_to(&mut picture, ImageFormat::Png)?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let base_url = format!("http://{}", listener.local_addr()?);
    let [submits, polls] = [&case.submits, &case.polls].map(|limit| Counter::new(limit.clone()));
    let (submit_rate, poll_rate) = (case.submits.at_first(), case.polls.at_first());
    let in_flight = case.in_flight;
    let service = Arc::new(Service {
        case,
        began: Instant::now(),
        wall: Timestamp::now(),
        base_url: base_url.clone(),
        picture: picture.into_inner(),
        books: Mutex::new(Books { submits, polls, requests: BTreeMap::new(), closest: None }),
    });
    let server = tokio::spawn(serve(listener, service.clone()));
    let began = Instant::now();
    let mut command = Command::new(env!("CARGO_BIN_EXE_restore-batch"));
    command.arg(&manifest).env_clear().env("PIXAZO_API_KEY", "bench");
    command.args(["--allow-private", "--base-url", &base_url]);
    command.args(["--submit-rate", &submit_rate.to_string()]);
    command.args(["--poll-rate", &poll_rate.to_string()]);
    command.args(["--in-flight", &in_flight.to_string()]);
    command.args(["--download-rate", "1000", "--downloads", "32"]);
    command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    let status = command.kill_on_drop(true).status().await?;
    let wall = began.elapsed();
    server.abort();
    let _stopped = server.await;
    if !status.success() {
        return Err(format!("restore-batch ended with {status}").into());
    }
    let service = Arc::into_inner(service).ok_or("the service is still in use")?;
    Ok((wall, service.books.into_inner().unwrap_or_else(PoisonError::into_inner)))
}

async fn serve(listener: TcpListener, service: Arc<Service>) {
    let router = Router::new()
        .route("/gfpgan/v1/gfpgan/generate", routing::post(submit))
        .route("/v2/requests/status/{id}", routing::get(status))
        .route("/media/{id}", routing::get(picture))
        .with_state(service);
    let _ended = axum::serve(listener, router).await;
}

async fn submit(State(service): Shared, Json(order): Json<Value>) -> impl IntoResponse {
    let now = service.began.elapsed();
    let mut books = service.books();
    if !books.submits.takes(now) {
        return too_many();
    }
    let image = number_in(order["img"].as_str().unwrap_or_default());
    let took = service.case.times.draw(SEED, image, service.case.images);
    let took = Duration::from_secs_f64(took);
    books.requests.insert(image, Request { accepted: now, took, polled: None });
    answer(StatusCode::ACCEPTED, &json!({ "request_id": image.to_string(), "status": "QUEUED" }))
}

async fn status(State(service): Shared, Path(id): Path<String>) -> impl IntoResponse {
    let now = service.began.elapsed();
    let mut books = service.books();
    let Books { polls, requests, closest, .. } = &mut *books;
    let request = id.parse().ok().and_then(|image: u32| requests.get_mut(&image));
    // Asked for before the first submit, to see whether the service is there.
    let Some(request) = request else {
        return answer(StatusCode::NOT_FOUND, &json!({ "error": "Not found" }));
    };
    let apart = request.polled.map(|before| now.saturating_sub(before));
    *closest = [*closest, apart].into_iter().flatten().min();
    request.polled = Some(now);
    if !polls.takes(now) {
        return too_many();
    }
    let mut body = json!({ "request_id": id, "created_at": service.wall_at(request.accepted) });
    let done = request.accepted + request.took;
    body["status"] = json!(if now < done { "PROCESSING" } else { "COMPLETED" });
    if now >= done {
        body["completed_at"] = json!(service.wall_at(done));
        body["output"] = json!({ "media_url": [format!("{}/media/{id}", service.base_url)] });
    }
    answer(StatusCode::OK, &body)
}

async fn picture(State(service): Shared) -> impl IntoResponse {
    ([("content-type", "image/png")], service.picture.clone())
}

fn answer(
    status: StatusCode,
    body: &Value,
) -> (StatusCode, [(&'static str, &'static str); 1], String) {
    (status, [("content-type", "application/json")], body.to_string())
}

fn too_many() -> (StatusCode, [(&'static str, &'static str); 1], String) {
    let body = r#"{"error":"Too Many Requests"}"#.to_owned();
    (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "1")], body)
}
