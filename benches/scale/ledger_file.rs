//! The ledger as a file: what an import has come to, and jobs that would take days to come by.

use std::path::{Path, PathBuf};

use restore_batch::ledger::{Ledger as _, SqliteLedger};
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};

use super::Result;

/// Every item that is open is done, as if it had been submitted, polled and fetched.
const FINISH: &str = "UPDATE items SET state = 'done', settlement = id, charged = 3100, \
     request_id = 'gfpgan_' || id || '_' || id, \
     media = '[\"https://cdn.example.org/' || hex(randomblob(16)) || '.png\"]', \
     artifacts = '[{\"path\":\"images/' || stem || '.png\",\"media_url\":\"https://cdn.example.org/' \
     || hex(randomblob(16)) || '.png\",\"width\":512,\"height\":512,\"bytes\":400000,\"blake3\":\"' \
     || lower(hex(randomblob(32))) || '\"}]', \
     submitted_at = 1700000000000 + id * 50, settled_at = 1700000009000 + id * 50, \
     attempt = 1, booking = 'charged', price = 3100 WHERE state <> 'done'; \
     INSERT INTO attempts SELECT id, 1, 'charged', 3100, request_id, submitted_at, settled_at, \
     NULL FROM items WHERE true ON CONFLICT (item, number) DO UPDATE SET booking = 'charged', \
     request_id = excluded.request_id; \
     UPDATE job SET settlement = (SELECT max(id) FROM items)";

/// Ten more photos to submit.
const OPEN_TEN: &str = "UPDATE items SET state = 'staged', settlement = NULL, charged = 0, \
     request_id = NULL, media = NULL, artifacts = NULL, submitted_at = NULL, settled_at = NULL, \
     attempt = NULL, booking = NULL, price = NULL \
     WHERE id > (SELECT max(id) - 10 FROM items); \
     DELETE FROM attempts WHERE item > (SELECT max(id) - 10 FROM items)";

/// No download has succeeded; what is paid for is still at the service.
const FAIL_FETCHES: &str = "UPDATE items SET state = 'failed', artifacts = NULL, \
     failure = '{\"class\":\"permanent\",\"code\":\"media-blocked\",\"message\":\"sample\"}' \
     WHERE state = 'done'";

/// The ledger of a manifest's job.
pub(crate) struct LedgerFile(PathBuf);

impl LedgerFile {
    pub(crate) fn of(manifest: &Path) -> Self {
        Self(manifest.with_extension("restored").join(".restore-batch/ledger.db"))
    }

    /// Returns true when the manifest is in the ledger to its end.
    pub(crate) async fn is_imported(&self) -> bool {
        let read = async {
            let mut connection = self.connect(true).await?;
            let content = "SELECT content FROM editions WHERE content IS NOT NULL";
            let content: Option<String> =
                sqlx::query_scalar(content).fetch_optional(&mut connection).await?;
            connection.close().await?;
            Ok::<_, sqlx::Error>(content.is_some())
        };
        // It is not there yet, or nothing is in it.
        self.0.exists() && read.await.unwrap_or(false)
    }

    /// Bytes of the file, which nobody has open.
    pub(crate) fn bytes(&self) -> Result<u64> {
        Ok(std::fs::metadata(&self.0)?.len())
    }

    pub(crate) async fn finish(&self) -> Result<()> {
        self.change(FINISH).await
    }

    pub(crate) async fn open_ten(&self) -> Result<()> {
        self.change(OPEN_TEN).await
    }

    pub(crate) async fn fail_fetches(&self) -> Result<()> {
        self.change(FAIL_FETCHES).await
    }

    /// Changes the tables, and has the program count them.
    async fn change(&self, sql: &'static str) -> Result<()> {
        let mut connection = self.connect(false).await?;
        sqlx::raw_sql("PRAGMA synchronous = OFF; PRAGMA cache_size = -500000")
            .execute(&mut connection)
            .await?;
        sqlx::raw_sql(sql).execute(&mut connection).await?;
        // Ledgers of earlier versions keep no totals.
        let _ = sqlx::raw_sql("UPDATE job SET totals = NULL").execute(&mut connection).await;
        sqlx::raw_sql("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut connection).await?;
        connection.close().await?;
        if std::env::var_os("RESTORE_BATCH").is_none() {
            let ledger = SqliteLedger::open(&self.0).await?;
            ledger.begin_session().await?;
            ledger.close().await;
        }
        Ok(())
    }

    async fn connect(&self, read_only: bool) -> sqlx::Result<SqliteConnection> {
        SqliteConnectOptions::new().filename(&self.0).read_only(read_only).connect().await
    }
}
