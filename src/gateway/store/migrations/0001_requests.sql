-- Times are milliseconds since 1970 UTC, money is millionths of a US dollar, states are
-- the words of the service's API.

PRAGMA application_id = 0x52424757; -- "RBGW"

CREATE TABLE accounts (
    name   TEXT PRIMARY KEY,            -- of the key; empty for a gateway without keys
    spent  INTEGER NOT NULL             -- charged in all, refunds taken off
) STRICT, WITHOUT ROWID;

-- A request that is being worked on is QUEUED here: after a crash it is worked on again.
CREATE TABLE requests (
    id                 TEXT PRIMARY KEY,
    account            TEXT NOT NULL REFERENCES accounts (name),
    submit             INTEGER NOT NULL,
    img                TEXT NOT NULL,
    scale              INTEGER NOT NULL,
    version            TEXT NOT NULL,
    state              TEXT NOT NULL CHECK (state IN ('QUEUED', 'COMPLETED', 'FAILED', 'ERROR')),
    created_at         INTEGER NOT NULL,
    updated_at         INTEGER NOT NULL,
    completed_at       INTEGER,
    error              TEXT,
    result_bytes       INTEGER,
    result_blake3      BLOB,
    report             TEXT,            -- JSON: what the engine did
    charged            INTEGER NOT NULL,
    starts             INTEGER NOT NULL DEFAULT 0, -- of work that nothing ended
    idempotency_key    TEXT,
    body_blake3        BLOB,            -- of what was submitted with that key
    callback_url       TEXT,
    callback_attempts  INTEGER NOT NULL DEFAULT 0,
    callback_due       INTEGER          -- NULL: nothing to deliver (any more, or yet)
) STRICT, WITHOUT ROWID;

-- A key names one request of its account, whatever was heard of the commit.
CREATE UNIQUE INDEX requests_by_key ON requests (account, idempotency_key)
    WHERE idempotency_key IS NOT NULL;

-- Written to find out whether the disk takes writes.
CREATE TABLE probe (id INTEGER PRIMARY KEY CHECK (id = 1), probes INTEGER NOT NULL) STRICT;
INSERT INTO probe (id, probes) VALUES (1, 0);

PRAGMA user_version = 1;
