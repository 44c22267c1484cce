//! The columns of results.csv: one row for each manifest row whose item is done.

use jiff::Timestamp;

use super::table::SheetRow;
use crate::core::Micros;

/// Between several artifacts of one item; no artifact path can contain it.
const SEPARATOR: &str = " | ";

/// Returns our cells of one row.
///
/// An item that several rows name was paid once: its cost stands in the first of them,
/// so that the column adds up to what was charged.
pub(super) fn cells(row: &SheetRow<'_>) -> Vec<String> {
    let item = row.item;
    let joined = |part: fn(&crate::core::Artifact) -> &str| {
        item.artifacts.iter().map(part).collect::<Vec<_>>().join(SEPARATOR)
    };
    let first = item.artifacts.first();
    let number = |part: Option<u64>| part.map(|n| n.to_string()).unwrap_or_default();
    let time = |at: Option<Timestamp>| at.map(|at| format!("{at:.3}")).unwrap_or_default();
    let seconds = match (item.submitted_at, item.settled_at) {
        (Some(from), Some(to)) => format!("{:.3}", crate::clock::elapsed(from, to).as_secs_f64()),
        _ => String::new(),
    };
    let cost = if row.first { item.charged + item.possibly_charged } else { Micros::ZERO };
    vec![
        item.state.as_str().to_owned(),
        joined(|artifact| &artifact.path),
        joined(|artifact| &artifact.media_url),
        item.request.as_ref().map(|request| request.id.to_string()).unwrap_or_default(),
        item.attempts().to_string(),
        time(item.submitted_at),
        time(item.settled_at),
        seconds,
        number(first.map(|artifact| artifact.width.into())),
        number(first.map(|artifact| artifact.height.into())),
        number(first.map(|artifact| artifact.bytes)),
        first.map(|artifact| artifact.blake3.to_string()).unwrap_or_default(),
        cost.to_string(),
    ]
}
