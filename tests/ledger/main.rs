//! The ledger contract, run against every implementation, and what is particular to
//! the one on disk.

#[cfg(test)]
mod editions;
#[cfg(test)]
mod speed;
#[cfg(test)]
mod sqlite;

use futures::future::BoxFuture;
use restore_batch::{
    ledger::{Ledger, LedgerResult, MemoryLedger},
    testing::ledger_suite::Home,
};

/// Runs the functions that take a fresh ledger.
macro_rules! on_fresh_ledgers {
    ($($module:ident :: $name:ident,)*) => {
        mod memory_contract {
            $(#[tokio::test]
            async fn $name() {
                let ledger = restore_batch::ledger::MemoryLedger::new();
                restore_batch::testing::ledger_suite::$module::$name(&ledger).await.unwrap();
                crate::assert_recount(&ledger).await.unwrap();
            })*
        }

        mod sqlite_contract {
            use restore_batch::ledger::SqliteLedger;

            $(#[tokio::test]
            async fn $name() {
                let home = crate::sqlite::TempHome::new();
                let ledger = home.ledger().await;
                restore_batch::testing::ledger_suite::$module::$name(&ledger).await.unwrap();
                ledger.close().await;
                let kept = SqliteLedger::open_read_only(&home.path()).await.unwrap();
                crate::assert_recount(&kept).await.unwrap();
            })*
        }
    };
}
restore_batch::ledger_contract!(on_fresh_ledgers);

/// Runs the functions that open one ledger several times.
macro_rules! on_homes {
    ($($module:ident :: $name:ident,)*) => {
        mod memory_reopen {
            $(#[tokio::test]
            async fn $name() {
                let home = crate::MemoryHome::default();
                restore_batch::testing::ledger_suite::$module::$name(&home).await.unwrap();
            })*
        }

        mod sqlite_reopen {
            $(#[tokio::test]
            async fn $name() {
                let home = crate::sqlite::TempHome::new();
                restore_batch::testing::ledger_suite::$module::$name(&home).await.unwrap();
            })*
        }
    };
}
restore_batch::ledger_reopen_contract!(on_homes);

/// Whatever has happened to it, a ledger's counts are what a recount says.
async fn assert_recount(ledger: &dyn Ledger) -> LedgerResult<()> {
    assert_eq!(ledger.audit().await?.counted, ledger.totals().await?);
    Ok(())
}

/// One ledger in memory, which each opening shares.
#[derive(Default)]
struct MemoryHome(MemoryLedger);

impl Home for MemoryHome {
    fn open(&self) -> BoxFuture<'_, LedgerResult<Box<dyn Ledger>>> {
        Box::pin(async { Ok(Box::new(self.0.clone()) as Box<dyn Ledger>) })
    }
}
