//! The tables, and the page of the documentation around them.

use std::{fmt::Write as _, time::Duration};

use crate::{
    Result,
    case::{self, Case},
    ideal,
    job::{self, Figures},
};

/// The page with a gap for the figures.
const PAGE: &str = include_str!("page.md");

/// Images of all runs of a case together: as many seeds as that makes.
const IMAGES: u32 = 40_000;

/// Returns the page with the figures in it.
pub(crate) fn page(figures: &str) -> String {
    PAGE.replace("{{figures}}\n", figures)
}

/// Measures the cases with `only` in their names, and returns the tables.
pub(crate) fn figures(only: &str) -> Result<String> {
    let mut text = String::from(
        "| Service | Images | Runs | Wall / ideal | Polls per image | Closest polls of an image, s | 429s | Submit rate, of the ideal |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for case in case::all().iter().filter(|case| case.name.contains(only)) {
        text += &pace(case)?;
    }
    text += "\n## A limit that changes without notice\n\n\
         | The service counts | 20/s: used, 429s | Fall to 5/s: 90 % after, 429s in a minute | The next two minutes: used, 429s a minute | Rise to 20/s: 90 % after, 429s |\n\
         | --- | --- | --- | --- | --- |\n";
    for case in case::rates().iter().filter(|case| case.name.contains(only)) {
        text += &rate(case)?;
    }
    Ok(text)
}

fn pace(case: &Case) -> Result<String> {
    let runs = (IMAGES / case.images).max(1);
    let (mut ratios, mut polls, mut refused, mut used) = (Vec::new(), 0, 0, 0.0);
    let mut closest: Option<Duration> = None;
    for seed in 1..=u64::from(runs) {
        let figures = job::run(case, seed)?;
        let ideal = ideal::of(case, seed);
        ratios.push(figures.wall.as_secs_f64() / ideal.wall.as_secs_f64());
        polls += figures.polls;
        refused += figures.refused.len() + figures.refused_polls;
        closest = [closest, figures.closest].into_iter().flatten().min();
        let submits = last(&figures.accepted).saturating_sub(first(&figures.accepted));
        used += ideal.submits.as_secs_f64() / submits.as_secs_f64() / f64::from(runs);
    }
    let mean = ratios.iter().sum::<f64>() / ratios.len() as f64;
    let (least, most) = ratios
        .iter()
        .fold((f64::INFINITY, 0.0_f64), |(low, high), ratio| (low.min(*ratio), high.max(*ratio)));
    let polls = polls as f64 / f64::from(runs * case.images);
    let closest =
        closest.map_or_else(|| "-".to_owned(), |apart| format!("{:.2}", apart.as_secs_f64()));
    Ok(format!(
        "| {} | {} | {runs} | {mean:.3} ({least:.3} to {most:.3}) | {polls:.2} | {closest} | {refused} | {used:.3} |\n",
        case.name, case.images
    ))
}

fn first(times: &[Duration]) -> Duration {
    times.first().copied().unwrap_or_default()
}

fn last(times: &[Duration]) -> Duration {
    times.last().copied().unwrap_or_default()
}

fn rate(case: &Case) -> Result<String> {
    let figures = job::run(case, 1)?;
    let Figures { accepted, refused, .. } = &figures;
    let within = |times: &[Duration], from: u64, to: u64| {
        times.iter().filter(|at| (from..to).contains(&at.as_secs())).count()
    };
    let used = |from: u64, to: u64, limit: f64| {
        within(accepted, from, to) as f64 / (limit * (to - from) as f64)
    };
    // The first second from which ten seconds carry nine tenths of the limit.
    let after = |change: u64, limit: f64| {
        (0..300).find(|second| used(change + second, change + second + 10, limit) >= 0.9)
    };
    let mut text = format!("| {} ", case.name);
    write!(text, "| {:.3}, {} ", used(0, 60, 20.0), within(refused, 0, 60))?;
    // A second of grace: what was accepted in it before the change is not the new limit's.
    let fall = after(61, 5.0).map_or_else(|| "never".to_owned(), |second| format!("{second} s"));
    write!(text, "| {fall}, {} ", within(refused, 60, 120))?;
    let steady = within(refused, 120, 240) as f64 / 2.0;
    write!(text, "| {:.3}, {steady:.1} ", used(120, 240, 5.0))?;
    let rise = after(240, 20.0).map_or_else(|| "never".to_owned(), |second| format!("{second} s"));
    writeln!(text, "| {rise}, {} |", within(refused, 240, 300))?;
    Ok(text)
}
