//! The shape of a ledger file. How any database is opened and brought up to date is in
//! [`sqlite`](crate::sqlite).

use sqlx::SqliteConnection;

use super::names::{Entry, Name, Names};
use crate::{
    core::ItemKey,
    sqlite::{Migration, Schema, SqliteError},
};

/// What a ledger looks like. The number is "RBLG".
pub(super) const SCHEMA: Schema = Schema {
    application_id: 0x5242_4C47,
    migrations: &[
        Migration { sql: include_str!("migrations/0001_ledger.sql"), secret: None, then: None },
        Migration {
            sql: include_str!("migrations/0002_callbacks_and_pauses.sql"),
            // A job has a secret for its callback addresses.
            secret: Some("UPDATE job SET callback_secret = ?1"),
            then: None,
        },
        Migration {
            sql: include_str!("migrations/0003_names.sql"),
            secret: None,
            then: Some(|connection| Box::pin(move_names(connection))),
        },
        Migration { sql: include_str!("migrations/0004_totals.sql"), secret: None, then: None },
    ],
};

/// Names of one segment that an older ledger is moved into.
const MOVED_AT_ONCE: i64 = 50_000;

/// Moves the names of a ledger of version 2 to where version 3 keeps them.
async fn move_names(connection: &mut SqliteConnection) -> Result<(), SqliteError> {
    let mut names = Names::load(connection).await?;
    let keys = "SELECT id, key FROM items_before WHERE id > ?1 ORDER BY id LIMIT ?2";
    let mut last = 0;
    loop {
        let page: Vec<(i64, Vec<u8>)> =
            sqlx::query_as(keys).bind(last).bind(MOVED_AT_ONCE).fetch_all(&mut *connection).await?;
        let Some((id, _)) = page.last() else { break };
        last = *id;
        let entries = page.into_iter().map(|(id, key)| moved_key(id, key));
        names.add(connection, entries.collect::<Result<_, _>>()?).await?;
    }
    let stems = "SELECT stem_key, items FROM stems WHERE stem_key > ?1 ORDER BY stem_key LIMIT ?2";
    let mut last = String::new();
    loop {
        let page: Vec<(String, u64)> = sqlx::query_as(stems)
            .bind(&last)
            .bind(MOVED_AT_ONCE)
            .fetch_all(&mut *connection)
            .await?;
        let Some((stem, _)) = page.last() else { break };
        last.clone_from(stem);
        let entries =
            page.iter().map(|(stem, value)| Entry { name: Name::of_stem_key(stem), value: *value });
        names.add(connection, entries.collect()).await?;
    }
    sqlx::raw_sql("DROP TABLE items_before; DROP TABLE stems").execute(connection).await?;
    Ok(())
}

fn moved_key(id: i64, key: Vec<u8>) -> Result<Entry, SqliteError> {
    let damaged = |what: &str| SqliteError::Damaged(format!("item {id} has no {what}"));
    let key = key.try_into().map_err(|_| damaged("key"))?;
    let value = u64::try_from(id).map_err(|_| damaged("number"))?;
    Ok(Entry { name: Name::of_item(ItemKey(key)), value })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use sqlx::{Connection as _, SqliteConnection};

    use super::*;

    #[tokio::test]
    async fn every_migration_sets_its_version_and_the_last_is_ours() {
        let mut connection = SqliteConnection::connect("sqlite::memory:").await.unwrap();
        for (index, migration) in SCHEMA.migrations.iter().enumerate() {
            sqlx::raw_sql(migration.sql).execute(&mut connection).await.unwrap();
            let version = sqlx::query_scalar("PRAGMA user_version");
            let version: i64 = version.fetch_one(&mut connection).await.unwrap();
            assert_eq!(version, i64::try_from(index).unwrap() + 1);
        }
        SCHEMA.check(&mut connection, Path::new("x")).await.unwrap();
    }

    #[tokio::test]
    async fn a_ledger_of_an_older_version_gets_a_secret_of_its_own() {
        let mut secrets = Vec::new();
        for _ in 0..2 {
            let mut connection = SqliteConnection::connect("sqlite::memory:").await.unwrap();
            sqlx::raw_sql(SCHEMA.migrations[0].sql).execute(&mut connection).await.unwrap();
            sqlx::raw_sql("UPDATE job SET fence = 7").execute(&mut connection).await.unwrap();
            for _ in 0..2 {
                SCHEMA.migrate(&mut connection, Path::new("x")).await.unwrap();
                let job: (i64, Vec<u8>) = sqlx::query_as("SELECT fence, callback_secret FROM job")
                    .fetch_one(&mut connection)
                    .await
                    .unwrap();
                assert_eq!((job.0, job.1.len()), (7, 32), "the rest is as it was");
                secrets.push(job.1);
            }
        }
        assert_eq!(secrets[0], secrets[1], "and keeps it");
        assert_eq!(secrets[2], secrets[3]);
        assert_ne!(secrets[0], secrets[2]);
    }
}
