//! The release binary against a bare loop, both as processes of their own, against a
//! service in a third process.

use std::{io::Write as _, path::Path, process::Stdio};

use image::{DynamicImage, RgbImage};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
};

use super::{
    Result, bare,
    process::{Taken, measure},
    restore_batch, service,
};

/// Words with which the benchmark starts itself in another role.
const SERVE: &str = "--role=serve";
const BARE: &str = "--role=bare";

/// One comparison.
pub(super) struct Case {
    name: &'static str,
    /// Width and height of every picture; what is in it cannot be compressed.
    side: u32,
    pictures: usize,
    at_once: usize,
    rounds: usize,
}

impl Case {
    /// Many small pictures: what counts is work for each, not for its bytes.
    pub(super) fn small(pictures: usize, rounds: usize) -> Self {
        Self { name: "small", side: 48, pictures, at_once: 200, rounds }
    }

    /// A few pictures of 50 MB.
    pub(super) fn large(pictures: usize, rounds: usize) -> Self {
        Self { name: "50 MB", side: 4_096, pictures, at_once: 8, rounds }
    }

    /// Runs both clients alternately, and prints what they took.
    pub(super) async fn run(&self) -> Result<()> {
        let (mut service, address) = self.start_service().await?;
        let mut pairs = Vec::new();
        // Deleted at the end: ext4 steps around files that were deleted a moment ago, which
        // would slow down the next round.
        let mut folders = Vec::new();
        for _ in 0..self.rounds {
            let bare = measure(self.bare(&address)?).await?;
            let folder = tempfile::tempdir()?;
            let manifest = folder.path().join("photos.csv");
            self.write_manifest(&manifest)?;
            let ours = measure(self.ours(&manifest, &address)).await?;
            self.check(&manifest.with_extension("restored").join("results.csv"))?;
            self.print_row("bare loop", &bare);
            self.print_row("restore-batch", &ours);
            pairs.push((bare, ours));
            folders.push(folder);
        }
        service.kill().await?;
        let speed = spread(
            pairs.iter().map(|(bare, ours)| bare.wall.as_secs_f64() / ours.wall.as_secs_f64()),
        );
        let cpu = spread(pairs.iter().map(|(bare, ours)| ours.cpu / bare.cpu));
        println!(
            "{}: pictures/s of the bare loop's {speed}; its CPU a picture times {cpu}",
            self.name
        );
        Ok(())
    }

    /// A client that is fast because it gives up is not fast.
    fn check(&self, results: &Path) -> Result<()> {
        let done = std::fs::read_to_string(results)?.lines().skip(1).count();
        if done != self.pictures {
            return Err(format!("{done} of {} pictures are restored", self.pictures).into());
        }
        Ok(())
    }

    fn print_row(&self, name: &str, taken: &Taken) {
        let pictures = self.pictures as f64;
        println!(
            "{:<8} {name:<14} {:>8.1} pictures/s {:>9.1} µs CPU a picture, peak {} MiB",
            self.name,
            pictures / taken.wall.as_secs_f64(),
            taken.cpu / pictures * 1e6,
            taken.peak_kib / 1024,
        );
    }

    async fn start_service(&self) -> Result<(Child, String)> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args([SERVE, &self.side.to_string()]);
        let mut child = command.stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
        let output = child.stdout.take().ok_or("no standard output")?;
        let mut base = String::new();
        BufReader::new(output).read_line(&mut base).await?;
        Ok((child, base.trim_end().to_owned()))
    }

    fn bare(&self, base: &str) -> Result<Command> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args([BARE, base, &self.pictures.to_string(), &self.at_once.to_string()]);
        Ok(command)
    }

    /// The binary with no limit but the number of requests at once, and a first poll as
    /// soon as there can be one.
    fn ours(&self, manifest: &Path, base: &str) -> Command {
        let at_once = self.at_once.to_string();
        let mut command = restore_batch(manifest, base);
        for (flag, value) in [
            ("--in-flight", at_once.as_str()),
            ("--downloads", at_once.as_str()),
            ("--poll-interval", "1ms"),
        ] {
            command.args([flag, value]);
        }
        command
    }

    fn write_manifest(&self, path: &Path) -> Result<()> {
        let mut file = std::io::BufWriter::new(std::fs::File::create(path)?);
        writeln!(file, "img")?;
        for number in 0..self.pictures {
            writeln!(file, "{}", source(number))?;
        }
        file.flush()?;
        Ok(())
    }
}

/// The address of one source; nobody opens it.
pub(super) fn source(number: usize) -> String {
    format!("https://photos.example.org/archive/{number:08}.jpg")
}

/// Plays another role when this process was started for it.
pub(super) async fn play_role(words: &[String]) -> Result<bool> {
    match words {
        [role, side] if role == SERVE => {
            let picture = picture(side.parse()?)?;
            service::instant(picture, |base| println!("{base}")).await?;
        }
        [role, base, pictures, at_once] if role == BARE => {
            bare::run(base, pictures.parse()?, at_once.parse()?).await?;
        }
        _ => return Ok(false),
    }
    Ok(true)
}

/// A PNG of noise: as many bytes as it has samples.
fn picture(side: u32) -> Result<Vec<u8>> {
    let mut samples = vec![0; side as usize * side as usize * 3];
    blake3::Hasher::new().update(b"picture").finalize_xof().fill(&mut samples);
    let pixels = RgbImage::from_raw(side, side, samples).ok_or("too few samples")?;
    let mut file = std::io::Cursor::new(Vec::new());
    DynamicImage::ImageRgb8(pixels).write_to(&mut file, image::ImageFormat::Png)?;
    Ok(file.into_inner())
}

/// The median of some figures, with the lowest and the highest.
fn spread(figures: impl Iterator<Item = f64>) -> String {
    let mut figures: Vec<_> = figures.collect();
    figures.sort_by(f64::total_cmp);
    match (figures.first(), figures.get(figures.len() / 2), figures.last()) {
        (Some(low), Some(median), Some(high)) => format!("{median:.2} ({low:.2} to {high:.2})"),
        _ => "nothing".to_owned(),
    }
}
