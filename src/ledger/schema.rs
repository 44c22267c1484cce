//! The shape of a ledger file. How any database is opened and brought up to date is in
//! [`sqlite`](crate::sqlite).

use crate::sqlite::{Migration, Schema};

/// What a ledger looks like. The number is "RBLG".
pub(super) const SCHEMA: Schema = Schema {
    application_id: 0x5242_4C47,
    migrations: &[
        Migration { sql: include_str!("migrations/0001_ledger.sql"), secret: None },
        Migration {
            sql: include_str!("migrations/0002_callbacks_and_pauses.sql"),
            // A job has a secret for its callback addresses.
            secret: Some("UPDATE job SET callback_secret = ?1"),
        },
        Migration { sql: include_str!("migrations/0004_totals.sql"), secret: None },
    ],
};

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
