//! How the process ends.

/// Exit codes. Scripts depend on them: never change a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum ExitCode {
    /// every photo is done or was skipped
    Done = 0,
    /// a bug, or an unexpected internal error
    Internal = 1,
    /// the command line cannot be understood
    Usage = 2,
    /// the job finished, and some photos failed or are in doubt
    SomeFailed = 3,
    /// halted by the account, the spend cap, an outage or the output folder
    Halted = 4,
    /// the manifest cannot be used; nothing was spent because of it
    Manifest = 5,
    /// configuration or credentials are invalid
    Config = 6,
    /// the ledger is locked by another run, unavailable, or newer than this program
    Ledger = 7,
    /// the service cannot be used at the start
    Service = 8,
    /// stopped by SIGINT (Ctrl-C) after a drain
    Interrupted = 130,
    /// stopped by SIGTERM after a drain
    Terminated = 143,
}

impl ExitCode {
    /// Every code with its meaning and what helps, in the order of the README's table.
    pub const TABLE: [(Self, &'static str, &'static str); 11] = [
        (Self::Done, "every photo is done or was skipped", "nothing to do"),
        (
            Self::Internal,
            "a bug, or an unexpected internal error",
            "run again; report it if it stays",
        ),
        (Self::Usage, "the command line cannot be understood", "see `--help`"),
        (
            Self::SomeFailed,
            "the job finished, and some photos failed or are in doubt",
            "read failures.csv, then `retry`",
        ),
        (
            Self::Halted,
            "halted by the account, the spend cap, an outage or the output folder",
            "mend the cause, then run again",
        ),
        (Self::Manifest, "the manifest cannot be used", "mend the file, then run again"),
        (Self::Config, "configuration or credentials are invalid", "see `restore-batch check`"),
        (
            Self::Ledger,
            "the ledger is locked by another run, unavailable, or newer than this program",
            "wait for the other run, then run again",
        ),
        (Self::Service, "the service cannot be used at the start", "run again later"),
        (Self::Interrupted, "stopped by SIGINT (Ctrl-C) after a drain", "run again to continue"),
        (Self::Terminated, "stopped by SIGTERM after a drain", "run again to continue"),
    ];
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_the_documented_ones() {
        let numbers: Vec<u8> = ExitCode::TABLE.iter().map(|(code, ..)| *code as u8).collect();
        assert_eq!(numbers, [0, 1, 2, 3, 4, 5, 6, 7, 8, 130, 143]);
    }
}
