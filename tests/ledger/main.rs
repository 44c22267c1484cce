//! The ledger contract, run against every implementation, and what is particular to
//! the one on disk.

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
            })*
        }

        mod sqlite_contract {
            $(#[tokio::test]
            async fn $name() {
                let home = crate::sqlite::TempHome::new();
                let ledger = home.ledger().await;
                restore_batch::testing::ledger_suite::$module::$name(&ledger).await.unwrap();
                ledger.close().await;
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

/// One ledger in memory, which each opening shares.
#[derive(Default)]
struct MemoryHome(MemoryLedger);

impl Home for MemoryHome {
    fn open(&self) -> BoxFuture<'_, LedgerResult<Box<dyn Ledger>>> {
        Box::pin(async { Ok(Box::new(self.0.clone()) as Box<dyn Ledger>) })
    }
}
