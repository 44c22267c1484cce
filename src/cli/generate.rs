//! Completions and the manual page, made from the command line's own description.

use clap::CommandFactory as _;
use clap_complete::Shell;
use clap_mangen::roff::{Roff, roman};

use super::args::Cli;

/// Has the licence of the networks that are part of the program. It has to go with every
/// copy of them.
const NOTICE: &str = include_str!("../engine/models/NOTICE.md");

/// Returns the completion script of a shell.
pub(super) fn completions(shell: Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "restore-batch", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// Returns the manual page in roff; licences and subcommands follow the main page.
pub(super) fn man() -> String {
    let mut pages = Vec::new();
    let main = Cli::command();
    // Writing to memory cannot fail.
    let _ = clap_mangen::Man::new(main.clone()).render(&mut pages);
    let _ = licences().to_writer(&mut pages);
    for command in main.get_subcommands() {
        let name = format!("restore-batch-{}", command.get_name());
        let _ = clap_mangen::Man::new(command.clone().name(name)).render(&mut pages);
    }
    String::from_utf8_lossy(&pages).into_owned()
}

/// Returns the section on the licences of the program and of the networks in it.
fn licences() -> Roff {
    let mut section = Roff::new();
    section.control("SH", ["LICENCES"]);
    section.text([roman(concat!("restore-batch: ", env!("CARGO_PKG_LICENSE"), "."))]);
    section.control("PP", []);
    let source = "The networks in it, waifu2x (https://github.com/nagadomi/waifu2x):";
    section.text([roman(source)]);
    // As it stands, line by line.
    section.control("nf", []);
    for line in network_licence().lines() {
        section.text([roman(line.trim_start())]);
    }
    section.control("fi", []);
    section
}

fn network_licence() -> &'static str {
    NOTICE.split_once("## Licence\n").map_or(NOTICE, |(_, licence)| licence)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manual_page_has_the_licence_of_the_networks() {
        let page = man().replace('\\', "");
        let licence = network_licence();
        assert!(licence.contains("Copyright (C) 2015 nagadomi") && licence.len() < NOTICE.len());
        for line in licence.lines().map(str::trim).filter(|line| !line.is_empty()) {
            assert!(page.contains(line), "{line}");
        }
    }
}
