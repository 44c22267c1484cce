//! The shape of the gateway's database.

use crate::sqlite::{Migration, Schema};

/// The number is "RBGW".
pub(super) const SCHEMA: Schema = Schema {
    application_id: 0x5242_4757,
    migrations: &[Migration {
        sql: include_str!("migrations/0001_requests.sql"),
        secret: None,
        then: None,
    }],
};
