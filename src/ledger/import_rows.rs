//! Writes what an import has [planned](super::import).
//!
//! Runs inside a transaction of the [writer](super::writer), as
//! [statements](super::statements) do.

use std::collections::HashMap;

use sqlx::SqliteConnection;

use super::{
    bulk::{Bulk, Values},
    contract::LedgerResult,
    head::Head,
    import::{Known, MovedItem, PlannedItem, PlannedRow, RenewedItem, plan, stem_names},
    names::{Entry, Name, Names},
    record::{Imported, NewRow},
    rows::{ItemMove, ItemRenewal, RowReader, to_json, to_json_array},
};
use crate::core::{Edition, ItemId, ItemKey};

const KNOWN_ITEMS: &str = "SELECT items.id, items.edition, items.state, items.failure ->> '$.code' \
     FROM json_each(?1) AS given CROSS JOIN items ON items.id = given.value";

/// With an id that is there already: a bad row that was corrected.
const ITEMS: Bulk = Bulk {
    insert: "INSERT INTO items \
             (id, edition, source, scale, version, stem, ordinal, state, failure, settlement)",
    columns: 10,
    on_conflict: "ON CONFLICT (id) DO UPDATE SET edition = excluded.edition, \
                  source = excluded.source, scale = excluded.scale, version = excluded.version, \
                  stem = excluded.stem, ordinal = excluded.ordinal, state = excluded.state, \
                  failure = excluded.failure, settlement = excluded.settlement",
};

const ROWS: Bulk = Bulk {
    insert: "INSERT INTO rows (edition, line, item, first, cells)",
    columns: 5,
    on_conflict: "",
};

const MOVE_ITEMS: &str = "UPDATE items SET edition = ?2, settlement = given.value ->> '$.settlement' \
     FROM json_each(?1) AS given WHERE items.id = given.value ->> '$.id'";

const RENEW_ITEMS: &str = "UPDATE items SET source = given.value ->> '$.source', \
     scale = given.value ->> '$.scale', version = given.value ->> '$.version', \
     state = given.value ->> '$.state', staged_url = given.value ->> '$.staged_url' \
     FROM json_each(?1) AS given WHERE items.id = given.value ->> '$.id'";

/// Imports rows into the current edition.
pub(super) async fn import(
    connection: &mut SqliteConnection,
    head: &mut Head,
    names: &mut Names,
    rows: Vec<NewRow>,
) -> LedgerResult<Imported> {
    let stem_names = stem_names(&rows);
    let mut known = known_items(connection, names, &rows).await?;
    let mut stems = known_stems(connection, names, (&rows, &stem_names), &known).await?;
    let plan = plan(rows, &stem_names, &mut known, &mut stems, head);
    let keys = plan
        .items
        .iter()
        .map(|item| Entry { name: Name::of_item(item.facts.key), value: item.id.0.unsigned_abs() });
    let stems = stems.into_iter().map(|(name, value)| Entry { name, value });
    names.add(connection, keys.chain(stems).collect()).await?;
    insert_items(connection, head.edition, plan.items).await?;
    move_items(connection, head.edition, &plan.moved, &plan.renewed).await?;
    insert_rows(connection, head.edition, plan.rows).await?;
    sqlx::query("UPDATE editions SET rows = ?2 WHERE edition = ?1")
        .bind(head.edition.0)
        .bind(i64::try_from(head.totals.rows).unwrap_or(i64::MAX))
        .execute(connection)
        .await?;
    Ok(plan.imported)
}

async fn known_items(
    connection: &mut SqliteConnection,
    names: &Names,
    rows: &[NewRow],
) -> LedgerResult<HashMap<ItemKey, Known>> {
    let keys: HashMap<Name, ItemKey> =
        rows.iter().map(|row| (Name::of_item(row.item.key), row.item.key)).collect();
    let found = names.find(connection, keys.keys().copied()).await?;
    let mut ids: HashMap<u64, ItemKey> = HashMap::with_capacity(found.len());
    ids.extend(found.into_iter().filter_map(|(name, id)| Some((id, *keys.get(&name)?))));
    // New items join them.
    let mut known = HashMap::with_capacity(rows.len());
    if ids.is_empty() {
        return Ok(known);
    }
    let given = to_json_array(ids.keys())?;
    for row in sqlx::query(KNOWN_ITEMS).bind(given).fetch_all(connection).await? {
        let mut row = RowReader::new(&row);
        let id = ItemId(row.value()?);
        let item =
            Known { id, edition: Edition(row.value()?), state: row.state()?, code: row.word()? };
        known.extend(ids.get(&id.0.unsigned_abs()).map(|key| (*key, item)));
    }
    Ok(known)
}

/// Returns the stems of rows whose items are not known, with how many items took them.
async fn known_stems(
    connection: &mut SqliteConnection,
    names: &Names,
    (rows, stem_names): (&[NewRow], &[Name]),
    known: &HashMap<ItemKey, Known>,
) -> LedgerResult<HashMap<Name, u64>> {
    let takes_one = |row: &NewRow| known.get(&row.item.key).is_none_or(Known::is_bad_row);
    let takers = rows.iter().zip(stem_names).filter(|(row, _)| takes_one(row));
    let stems = takers.map(|(_, name)| *name);
    Ok(names.find(connection, stems).await?)
}

async fn insert_items(
    connection: &mut SqliteConnection,
    edition: Edition,
    items: Vec<PlannedItem>,
) -> LedgerResult<()> {
    let bind = |query: Values, item: PlannedItem| {
        let failure = item.failure.as_ref().map(to_json).transpose()?;
        let facts = item.facts;
        Ok(query
            .bind(item.id.0)
            .bind(edition.0)
            .bind(facts.source)
            .bind(facts.scale)
            .bind(facts.version)
            .bind(facts.stem)
            .bind(i64::try_from(item.ordinal).unwrap_or(i64::MAX))
            .bind(item.state.as_str())
            .bind(failure)
            .bind(item.settlement))
    };
    ITEMS.write(connection, items, bind).await
}

async fn move_items(
    connection: &mut SqliteConnection,
    edition: Edition,
    moved: &[MovedItem],
    renewed: &[RenewedItem],
) -> LedgerResult<()> {
    if !moved.is_empty() {
        sqlx::query(MOVE_ITEMS)
            .bind(to_json_array(moved.iter().map(ItemMove::new))?)
            .bind(edition.0)
            .execute(&mut *connection)
            .await?;
    }
    if !renewed.is_empty() {
        let renewed = to_json_array(renewed.iter().map(ItemRenewal::new))?;
        sqlx::query(RENEW_ITEMS).bind(renewed).execute(connection).await?;
    }
    Ok(())
}

async fn insert_rows(
    connection: &mut SqliteConnection,
    edition: Edition,
    rows: Vec<PlannedRow>,
) -> LedgerResult<()> {
    let bind = |query: Values, row: PlannedRow| {
        let cells = to_json(&row.cells)?;
        Ok(query.bind(edition.0).bind(row.line).bind(row.item.0).bind(row.first).bind(cells))
    };
    ROWS.write(connection, rows, bind).await
}
