-- Version 2.

-- A signal is owed while it has a lease end; then it is published, or parked for a reason. The envelope
-- is stored as src/ledger/stored.rs says.
CREATE TABLE signals (
    signalid       BLOB PRIMARY KEY NOT NULL,
    envelope       BLOB NOT NULL,
    received_ms    INTEGER NOT NULL,
    recorded_ms    INTEGER NOT NULL,
    lease_until_ms INTEGER,
    published_ms   INTEGER,
    parked_reason  TEXT,
    tried_ms       INTEGER
) STRICT;
CREATE INDEX owed ON signals (lease_until_ms) WHERE lease_until_ms IS NOT NULL;
CREATE INDEX published ON signals (published_ms) WHERE published_ms IS NOT NULL;
CREATE INDEX parked ON signals (tried_ms) WHERE parked_reason IS NOT NULL;

-- The mark of an id, or of content; the end of its time in seconds; and what it remembers, as
-- src/ledger/memo.rs says. No index by that end: it would double the size, and marks are evenly spread,
-- so that pruning goes through them slice by slice.
CREATE TABLE marks (
    mark BLOB PRIMARY KEY NOT NULL,
    ends INTEGER NOT NULL,
    memo BLOB NOT NULL
) STRICT, WITHOUT ROWID;
