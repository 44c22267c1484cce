//! How long the program takes to do nothing, beside `/bin/true`, and how large it is.

use std::{fmt::Write as _, path::Path, process::Stdio, time::Duration};

use tokio::{process::Command, time::Instant};

use super::{
    Result,
    program::{self, binary},
    service::Service,
    spread,
};

/// Runs of each, in turns.
const RUNS: usize = 30;

/// Photos of the finished job.
const PHOTOS: usize = 3;

/// Measures all, in turns, and returns the tables.
pub(crate) async fn table() -> Result<String> {
    eprintln!("start-up");
    let folder = tempfile::tempdir()?;
    let manifest = super::rows::write_manifest(folder.path(), PHOTOS)?;
    let service = Service::start(Some(Duration::ZERO)).await?;
    let resume = || program::command(&[], &manifest, &service.base_url);
    if !resume().arg("--poll-interval=100ms").status().await?.success() {
        return Err("a job of three photos failed".into());
    }
    let local = folder.path().join("local");
    std::fs::create_dir(&local)?;
    let local = finish_locally(&local).await?;
    let mut times: [Vec<Duration>; 5] = Default::default();
    for _ in 0..RUNS {
        let commands = [
            bare("/bin/true", &[]),
            bare(binary(), &["--help"]),
            resume(),
            locally(&local),
            program::command(&["status"], &manifest, &service.base_url),
        ];
        for (times, mut command) in times.iter_mut().zip(commands) {
            let started = Instant::now();
            let status = command.status().await?;
            times.push(started.elapsed());
            if !status.success() {
                return Err(format!("it ended with {status}").into());
            }
        }
    }
    service.stop();
    let [nothing, help, resume, local, status] = times.map(|times| spread(&times));
    let bytes = std::fs::metadata(binary())?.len() as f64;
    Ok(format!(
        "Milliseconds from start to end, middle of {RUNS} runs in turns (least to most).\n\n\
         | Command | ms |\n| --- | --- |\n\
         | `/bin/true` | {nothing} |\n\
         | `restore-batch --help` | {help} |\n\
         | a finished job of {PHOTOS} photos again | {resume} |\n\
         | the same with `--local` | {local} |\n\
         | `restore-batch status` | {status} |\n\n\
         The release binary has {:.1} MB.\n",
        bytes / 1e6
    ))
}

fn bare(program: impl AsRef<std::ffi::OsStr>, words: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(words).env_clear().stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// Restores small pictures with the local engine; returns their manifest.
async fn finish_locally(folder: &Path) -> Result<std::path::PathBuf> {
    let mut rows = "img\n".to_owned();
    for photo in 0..PHOTOS {
        let shade = u8::try_from(photo)? * 50;
        let picture = image::RgbImage::from_pixel(16, 16, image::Rgb([shade; 3]));
        picture.save(folder.join(format!("{photo}.png")))?;
        writeln!(rows, "{photo}.png")?;
    }
    let manifest = folder.join("photos.csv");
    std::fs::write(&manifest, rows)?;
    if !locally(&manifest).status().await?.success() {
        return Err("a local job of three photos failed".into());
    }
    Ok(manifest)
}

fn locally(manifest: &Path) -> Command {
    let mut command = bare(binary(), &["--local"]);
    command.arg(manifest);
    command
}
