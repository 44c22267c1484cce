-- The keys of items and the stems they took, which were in a unique index and in the table
-- `stems`, are kept in sorted segments (see src/ledger/names). The program moves them in the
-- same transaction, from `items_before` and `stems`, and drops both.
CREATE TABLE segments (
    id       INTEGER PRIMARY KEY,
    entries  INTEGER NOT NULL,   -- names, or more
    buckets  INTEGER NOT NULL,
    built    INTEGER NOT NULL,   -- buckets written so far
    target   INTEGER             -- the segment it is being merged into
) STRICT;

CREATE TABLE buckets (
    id       INTEGER PRIMARY KEY,   -- segment * 2^24 + number
    entries  BLOB NOT NULL          -- 16 bytes of a hash and 6 of a number each, sorted
) STRICT;

DROP INDEX items_by_state;
DROP INDEX items_by_settlement;
ALTER TABLE items RENAME TO items_before;

CREATE TABLE items (
    id                INTEGER PRIMARY KEY,
    edition           INTEGER NOT NULL,
    source            TEXT NOT NULL,
    scale             INTEGER NOT NULL,
    version           TEXT NOT NULL,
    stem              TEXT NOT NULL,
    ordinal           INTEGER NOT NULL,  -- how many items took the stem before
    state             TEXT NOT NULL,
    settlement        INTEGER,           -- NULL while not settled
    staged_url        TEXT,
    tries             INTEGER NOT NULL DEFAULT 0,
    service_errors    INTEGER NOT NULL DEFAULT 0,
    refreshes         INTEGER NOT NULL DEFAULT 0,
    not_before        INTEGER,
    request_id        TEXT,
    polling_url       TEXT,
    media             TEXT,              -- JSON array of addresses
    submitted_at      INTEGER,
    settled_at        INTEGER,
    attempt           INTEGER,           -- number of the latest one
    booking           TEXT,
    price             INTEGER,
    charged           INTEGER NOT NULL DEFAULT 0,
    possibly_charged  INTEGER NOT NULL DEFAULT 0,
    failure           TEXT,              -- JSON
    artifacts         TEXT               -- JSON array
) STRICT;
INSERT INTO items SELECT id, edition, source, scale, version, stem, ordinal, state, settlement,
    staged_url, tries, service_errors, refreshes, not_before, request_id, polling_url, media,
    submitted_at, settled_at, attempt, booking, price, charged, possibly_charged, failure,
    artifacts FROM items_before ORDER BY id;
CREATE INDEX items_by_state ON items (state, edition, id);
CREATE INDEX items_by_settlement ON items (edition, settlement) WHERE settlement IS NOT NULL;

PRAGMA user_version = 3;
