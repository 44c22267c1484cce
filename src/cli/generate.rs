//! Completions and the manual page, made from the command line's own description.

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::args::Cli;

/// Returns the completion script of a shell.
pub(super) fn completions(shell: Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "restore-batch", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// Returns the manual page in roff; subcommands follow the main page.
pub(super) fn man() -> String {
    let mut pages = Vec::new();
    let main = Cli::command();
    // Writing to memory cannot fail.
    let _ = clap_mangen::Man::new(main.clone()).render(&mut pages);
    for command in main.get_subcommands() {
        let name = format!("restore-batch-{}", command.get_name());
        let _ = clap_mangen::Man::new(command.clone().name(name)).render(&mut pages);
    }
    String::from_utf8_lossy(&pages).into_owned()
}
