//! Takes out of a text what differs from run to run.

use super::{Ended, World};

/// Returns what a command has said, fit for a snapshot: without folders, ports, process
/// ids, times and progress, and in one line for each paragraph, because error messages are wrapped
/// at a place that depends on the length of a folder's name.
pub(crate) fn redact(world: &World, ended: &Ended) -> String {
    let folder = world.work().display().to_string();
    let said = format!("{}\n{}", ended.stdout, ended.stderr);
    let mut paragraphs = Vec::<String>::new();
    for line in said.lines() {
        let text = line.trim().trim_start_matches("│ ").trim_start_matches("× ");
        let continues = line.starts_with("  │ ") || line.starts_with("        ");
        match paragraphs.last_mut() {
            Some(paragraph) if continues => {
                // Paths are broken behind these, without a space.
                if !paragraph.ends_with(['-', '/']) {
                    paragraph.push(' ');
                }
                paragraph.push_str(text);
            }
            _ => paragraphs.push(text.to_owned()),
        }
    }
    // How many were done when the first line of progress came is up to the scheduler.
    let wanted = |text: &String| !text.is_empty() && !text.ends_with(" submitted in this run");
    paragraphs.retain(wanted);
    let words = |line: &String| line.split(' ').map(redact_word).collect::<Vec<_>>().join(" ");
    let text = paragraphs.iter().map(words).collect::<Vec<_>>().join("\n");
    text.replace(&folder, "[DIR]")
}

fn redact_word(word: &str) -> String {
    if let Some((before, port)) = word.split_once("127.0.0.1:") {
        let rest = port.trim_start_matches(|digit: char| digit.is_ascii_digit());
        return format!("{before}127.0.0.1:[PORT]{rest}");
    }
    let bare = word.trim_end_matches([';', ',']);
    if bare.parse::<jiff::Timestamp>().is_ok() {
        return word.replace(bare, "[TIME]");
    }
    word.to_owned()
}
