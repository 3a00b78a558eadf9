-- Version 1.

-- A signal is owed while it has a lease end; then it is published, or parked for a reason.
CREATE TABLE signals (
    signalid       BLOB PRIMARY KEY NOT NULL,
    envelope       BLOB NOT NULL,
    received_ms    INTEGER NOT NULL,
    recorded_ms    INTEGER NOT NULL,
    lease_until_ms INTEGER,
    published_ms   INTEGER,
    parked_reason  TEXT
) STRICT;
CREATE INDEX owed ON signals (lease_until_ms) WHERE lease_until_ms IS NOT NULL;
CREATE INDEX published ON signals (published_ms) WHERE published_ms IS NOT NULL;
CREATE INDEX parked ON signals (recorded_ms) WHERE parked_reason IS NOT NULL;

-- The mark of an id, or of content; the latter with the mark of the id that came with it.
CREATE TABLE marks (
    mark       BLOB PRIMARY KEY NOT NULL,
    signalid   BLOB NOT NULL,
    id_mark    BLOB,
    expires_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX marks_by_expiry ON marks (expires_ms);
