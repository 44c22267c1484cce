//! The tables, and the page of the documentation around them.

use std::fmt::Write as _;

use restore_batch::testing::degrade::Degree;

use crate::measure::{Figures, Row};

/// The page with a gap for the tables.
const PAGE: &str = include_str!("page.md");

/// Returns the page with the tables in it.
pub(crate) fn page(tables: &str) -> String {
    PAGE.replace("{{tables}}\n", tables)
}

/// Returns two Markdown tables for each set: means, and single photographs.
pub(crate) fn tables(sets: &[(&str, Vec<Row>)]) -> String {
    let mut text = String::new();
    for (title, rows) in sets {
        let photos = rows.len() / Degree::ALL.len();
        let _ = writeln!(text, "## {title}: mean of {photos}\n");
        text += &means(rows);
        let _ = writeln!(text, "\n### Each photograph\n");
        text += &singles(rows);
        text += "\n";
    }
    text.truncate(text.trim_end().len());
    text + "\n"
}

fn means(rows: &[Row]) -> String {
    let mut text = String::from(
        "| Degree | Lanczos | Version before | Local engine | Over Lanczos | Over version before |\n\
         | --- | --- | --- | --- | --- | --- |\n",
    );
    for degree in Degree::ALL {
        let same: Vec<&Row> = rows.iter().filter(|row| row.degree == degree).collect();
        let figures: [Figures; 3] = std::array::from_fn(|engine| {
            mean(&same.iter().map(|row| row.figures[engine]).collect::<Vec<_>>())
        });
        let _ = writeln!(text, "| {} | {} |", degree.name(), cells(&figures));
    }
    text
}

fn singles(rows: &[Row]) -> String {
    let mut text = String::from(
        "| Photograph | Degree | Lanczos | Version before | Local engine | Over Lanczos \
         | Over version before | What it did |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for Row { photo, degree, figures, steps } in rows {
        let _ = writeln!(text, "| {photo} | {} | {} | {steps} |", degree.name(), cells(figures));
    }
    text
}

/// Returns the cells of three results, and of what the last has over the others.
fn cells(figures: &[Figures; 3]) -> String {
    let [lanczos, before, ours] = figures;
    let over = |other: &Figures| {
        format!("{:+.2} / {:+.3}", ours.psnr - other.psnr, ours.ssim - other.ssim)
    };
    let plain = |of: &Figures| format!("{:.2} / {:.3}", of.psnr, of.ssim);
    [plain(lanczos), plain(before), plain(ours), over(lanczos), over(before)].join(" | ")
}

fn mean(figures: &[Figures]) -> Figures {
    let count = f64::from(u32::try_from(figures.len()).unwrap_or(u32::MAX));
    let mean = |of: fn(&Figures) -> f64| figures.iter().map(of).sum::<f64>() / count;
    Figures { psnr: mean(|of| of.psnr), ssim: mean(|of| of.ssim) }
}
