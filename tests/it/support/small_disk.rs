//! A file system that is really small, and really full or read-only when a test wants.

use std::{
    fs,
    io::{ErrorKind, Read as _, Write as _},
    path::PathBuf,
    process::{Child, ChildStdin, Stdio},
};

use super::World;

/// A `tmpfs` on a folder of the world, in a mount namespace of its own.
///
/// A process that does nothing keeps the namespace; commands enter it with
/// [`Command::inside`](super::Command::inside), and the test sees it through `/proc`.
/// That needs no rights beyond user namespaces, or those of root in a container.
pub(crate) struct SmallDisk {
    holder: Child,
    /// The holder ends when this is closed.
    _stdin: ChildStdin,
    folder: PathBuf,
}

impl SmallDisk {
    /// Mounts `kilobytes` on the folder `name` of the world.
    ///
    /// # Panics
    ///
    /// On a machine that lets nobody mount: a test that cannot be made is no pass.
    pub(crate) fn mount(world: &World, name: &str, kilobytes: u64) -> Self {
        let folder = world.path(name);
        fs::create_dir(&folder).unwrap();
        let script = "mount -t tmpfs -o size=\"$1\"k none \"$2\" && echo mounted && exec cat";
        let mut holder = std::process::Command::new("unshare")
            .args(["-rm", "sh", "-c", script, "sh", &kilobytes.to_string()])
            .arg(&folder)
            .current_dir(world.work())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = [0; 7];
        let answer = holder.stdout.take().unwrap().read_exact(&mut said);
        let help =
            "`unshare -rm` and `mount` must work here: run as root, or allow user namespaces";
        assert!(answer.is_ok() && said == *b"mounted", "no small disk: {help}");
        let stdin = holder.stdin.take().unwrap();
        Self { holder, _stdin: stdin, folder }
    }

    /// Returns the words that make a command enter the namespace.
    pub(super) fn enter(&self) -> Vec<String> {
        let target = self.holder.id().to_string();
        ["nsenter", "-t", &target, "-m", "-U", "--preserve-credentials", "--wd"]
            .map(str::to_owned)
            .to_vec()
    }

    /// Returns the disk's folder as the test can see it.
    pub(crate) fn path(&self) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.holder.id()));
        root.join(self.folder.strip_prefix("/").unwrap())
    }

    /// Fills the disk, but for `left` bytes (whole pages).
    pub(crate) fn fill(&self, left: u64) {
        let path = self.path().join("filler");
        let mut file = fs::File::create(&path).unwrap();
        loop {
            match file.write_all(&[0; 4_096]) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => break,
                Err(error) => panic!("{error}"),
            }
        }
        let length = file.metadata().unwrap().len();
        file.set_len(length.saturating_sub(left)).unwrap();
    }

    /// Takes away what [`fill`](Self::fill) has put there.
    pub(crate) fn free(&self) {
        fs::remove_file(self.path().join("filler")).unwrap();
    }

    /// Makes the disk read-only, or writable again.
    pub(crate) fn remount(&self, mode: &str) {
        let words = self.enter();
        let mut command = std::process::Command::new(&words[0]);
        command.args(&words[1..]).args(["mount", "-o", &format!("remount,{mode}")]);
        assert!(command.arg(&self.folder).status().unwrap().success(), "remount,{mode}");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}
