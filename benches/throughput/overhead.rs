//! The release binary and two loops, all as processes of their own, against a service in
//! another process.

use std::{io::Write as _, path::Path, process::Stdio};

use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
};

use super::{
    Result,
    process::{Taken, measure},
    roles,
};

/// The clients, in the order in which a round runs them.
pub(super) const CLIENTS: [&str; 3] = ["bare loop", "keeping loop", "restore-batch"];

/// One comparison.
pub(super) struct Case {
    /// Width and height of every picture; what is in it cannot be compressed.
    pub(super) side: u32,
    pub(super) pictures: usize,
    /// Requests in flight.
    pub(super) at_once: usize,
    pub(super) rounds: usize,
}

/// What each of the [`CLIENTS`] took in each round.
pub(super) struct Compared {
    pub(super) case: Case,
    pub(super) rounds: Vec<[Taken; 3]>,
}

impl Case {
    /// Bytes of a picture, nearly.
    pub(super) fn bytes(&self) -> u64 {
        u64::from(self.side).pow(2) * 3
    }

    /// Runs the clients in turn.
    pub(super) async fn run(self) -> Result<Compared> {
        let (mut service, address) = self.start_service().await?;
        let mut rounds = Vec::new();
        // Deleted at the end: ext4 steps around files that were deleted a moment ago, which
        // would slow down the next round.
        let mut folders = Vec::new();
        for _ in 0..self.rounds {
            let folder = tempfile::tempdir()?;
            rounds.push(self.round(&address, folder.path()).await?);
            folders.push(folder);
        }
        service.kill().await?;
        Ok(Compared { case: self, rounds })
    }

    async fn round(&self, address: &str, folder: &Path) -> Result<[Taken; 3]> {
        let bare = measure(self.a_loop(address)?).await?;
        let kept = folder.join("kept");
        std::fs::create_dir(&kept)?;
        let mut keeping = self.a_loop(address)?;
        keeping.arg(&kept);
        let keeping = measure(keeping).await?;
        self.check(std::fs::read_dir(&kept)?.count())?;
        let manifest = folder.join("photos.csv");
        self.write_manifest(&manifest)?;
        let ours = measure(self.ours(&manifest, address)).await?;
        let results = manifest.with_extension("restored").join("results.csv");
        self.check(std::fs::read_to_string(results)?.lines().skip(1).count())?;
        let taken = [bare, keeping, ours];
        for (name, taken) in CLIENTS.iter().zip(&taken) {
            eprintln!(
                "{} of {} bytes, {} at once: {name} {:.1} pictures/s, {:.1} µs CPU, {} MiB",
                self.pictures,
                self.bytes(),
                self.at_once,
                self.pictures as f64 / taken.wall.as_secs_f64(),
                taken.cpu / self.pictures as f64 * 1e6,
                taken.peak_kib >> 10,
            );
        }
        Ok(taken)
    }

    /// A client that is fast because it gives up is not fast.
    fn check(&self, done: usize) -> Result<()> {
        if done != self.pictures {
            return Err(format!("{done} of {} pictures are restored", self.pictures).into());
        }
        Ok(())
    }

    async fn start_service(&self) -> Result<(Child, String)> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args([roles::SERVE, &self.side.to_string()]);
        let mut child = command.stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
        let output = child.stdout.take().ok_or("no standard output")?;
        let mut base = String::new();
        BufReader::new(output).read_line(&mut base).await?;
        Ok((child, base.trim_end().to_owned()))
    }

    fn a_loop(&self, base: &str) -> Result<Command> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args([roles::LOOP, base, &self.pictures.to_string(), &self.at_once.to_string()]);
        Ok(command)
    }

    /// The binary with no limit but the number of requests at once, a first poll as soon as
    /// there can be one, and without the user's settings.
    fn ours(&self, manifest: &Path, base: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_restore-batch"));
        command.arg(manifest).env_clear().env("PIXAZO_API_KEY", "bench");
        command.args(["--allow-private", "--base-url", base, "--poll-interval", "1ms"]);
        for flag in ["--submit-rate", "--poll-rate", "--download-rate"] {
            command.args([flag, "100000"]);
        }
        for flag in ["--in-flight", "--downloads"] {
            command.args([flag, &self.at_once.to_string()]);
        }
        command.stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
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
