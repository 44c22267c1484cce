//! What was measured, as tables in Markdown.

use std::fmt::Write as _;

use super::{
    overhead::{CLIENTS, Compared},
    process::Taken,
};

/// Rates and processor time, and their ratios to both loops.
pub(super) fn overhead(cases: &[Compared]) -> String {
    let mut text = "The middle of the rounds (the least to the most); ratios are of one round.\n\n\
        | In flight | Client | pictures/s | CPU a picture, µs | peak, MiB | \
        pictures/s ÷ bare loop | CPU ÷ bare loop | pictures/s ÷ keeping loop | \
        CPU ÷ keeping loop |\n\
        | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n"
        .to_owned();
    for Compared { case, rounds } in cases {
        let pictures = case.pictures as f64;
        for (client, name) in CLIENTS.iter().enumerate() {
            let column = |digits: usize, figure: &dyn Fn(&[Taken; 3]) -> f64| {
                spread(rounds.iter().map(figure), digits)
            };
            let against = |base: usize| {
                let speed = column(2, &|taken| seconds(&taken[base]) / seconds(&taken[client]));
                let cpu = column(2, &|taken| taken[client].cpu / taken[base].cpu);
                format!("{speed} | {cpu}")
            };
            let _ = writeln!(
                text,
                "| {} | {name} | {} | {} | {} | {} | {} |",
                case.at_once,
                column(0, &|taken| pictures / seconds(&taken[client])),
                column(0, &|taken| taken[client].cpu / pictures * 1e6),
                column(0, &|taken| mebibytes(&taken[client])),
                against(0),
                against(1),
            );
        }
    }
    text
}

/// Peaks of memory by the size of a picture.
pub(super) fn memory(cases: &[Compared]) -> String {
    let mut text = "| Size of a picture | Downloads at once | Client | MB/s | peak, MiB |\n\
        | --- | --- | --- | --- | --- |\n"
        .to_owned();
    for Compared { case, rounds } in cases {
        let megabytes = case.bytes() as f64 / 1e6;
        for (client, name) in CLIENTS.iter().enumerate() {
            let speed =
                |taken: &[Taken; 3]| megabytes * case.pictures as f64 / seconds(&taken[client]);
            let _ = writeln!(
                text,
                "| {megabytes:.0} MB | {} | {name} | {} | {} |",
                case.at_once,
                spread(rounds.iter().map(speed), 0),
                spread(rounds.iter().map(|taken| mebibytes(&taken[client])), 0),
            );
        }
    }
    text
}

fn seconds(taken: &Taken) -> f64 {
    taken.wall.as_secs_f64()
}

fn mebibytes(taken: &Taken) -> f64 {
    taken.peak_kib as f64 / 1024.0
}

/// The median of some figures, with the lowest and the highest when there are several.
fn spread(figures: impl Iterator<Item = f64>, digits: usize) -> String {
    let mut figures: Vec<_> = figures.collect();
    figures.sort_by(f64::total_cmp);
    match figures[..] {
        [] => "—".to_owned(),
        [one] => format!("{one:.digits$}"),
        [low, .., high] => {
            format!("{:.digits$} ({low:.digits$} to {high:.digits$})", figures[figures.len() / 2])
        }
    }
}
