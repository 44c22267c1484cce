-- Times are milliseconds since 1970 UTC, money is millionths of a US dollar,
-- states and bookings are the words of the program's vocabulary.

CREATE TABLE job (
    id          INTEGER PRIMARY KEY CHECK (id = 1),
    fence       INTEGER NOT NULL,   -- the session that may write
    settlement  INTEGER NOT NULL,   -- the highest settlement number given out
    service     TEXT                -- root of the service that knows the requests
) STRICT;
INSERT INTO job (id, fence, settlement) VALUES (1, 0, 0);

CREATE TABLE editions (
    edition        INTEGER PRIMARY KEY,
    columns        TEXT NOT NULL,   -- JSON array of names
    source_column  INTEGER NOT NULL,
    base_dir       TEXT NOT NULL,
    rows           INTEGER NOT NULL DEFAULT 0,
    content        TEXT             -- hash; NULL until read to the end
) STRICT;

CREATE TABLE items (
    id                INTEGER PRIMARY KEY,
    key               BLOB NOT NULL UNIQUE,
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
CREATE INDEX items_by_state ON items (state, edition, id);
CREATE INDEX items_by_settlement ON items (edition, settlement) WHERE settlement IS NOT NULL;

-- How many items have taken each stem, so that the next one is named uniquely.
CREATE TABLE stems (
    stem_key  TEXT PRIMARY KEY,
    items     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE rows (
    edition  INTEGER NOT NULL,
    line     INTEGER NOT NULL,
    item     INTEGER NOT NULL,
    first    INTEGER NOT NULL,           -- 1 for the first row of its item
    cells    TEXT NOT NULL,              -- JSON array
    PRIMARY KEY (edition, line)
) STRICT, WITHOUT ROWID;
CREATE INDEX rows_by_item ON rows (item, edition, line);

CREATE TABLE attempts (
    item          INTEGER NOT NULL,
    number        INTEGER NOT NULL,
    booking       TEXT NOT NULL,
    price         INTEGER NOT NULL,
    request_id    TEXT,
    submitted_at  INTEGER,
    booked_at     INTEGER,               -- NULL while reserved
    http_status   INTEGER,
    PRIMARY KEY (item, number)
) STRICT, WITHOUT ROWID;

PRAGMA application_id = 0x52424C47;
PRAGMA user_version = 1;
