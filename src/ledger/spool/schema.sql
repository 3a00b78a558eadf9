-- The drafts that wait for the ledger: all of one delivery under one number, in the order of receipt.
-- A number is never used again, so that what was moved can be removed by it.
CREATE TABLE deliveries (
    delivery  INTEGER PRIMARY KEY AUTOINCREMENT,
    set_aside TEXT
) STRICT;
CREATE INDEX waiting ON deliveries (delivery) WHERE set_aside IS NULL;

CREATE TABLE drafts (
    delivery    INTEGER NOT NULL,
    place       INTEGER NOT NULL,
    signalid    BLOB NOT NULL,
    decides     TEXT NOT NULL,
    mark        BLOB NOT NULL,
    id_mark     BLOB,
    keep_ms     INTEGER NOT NULL,
    event_type  TEXT NOT NULL,
    tenant      TEXT NOT NULL,
    endpoint    TEXT NOT NULL,
    provider    TEXT NOT NULL,
    received    TEXT NOT NULL,
    traceparent TEXT NOT NULL,
    -- The envelope up to its tail: under its own id, and under the completed one.
    beginning   TEXT NOT NULL,
    completed   TEXT NOT NULL,
    tail        BLOB NOT NULL,
    PRIMARY KEY (delivery, place)
) STRICT;
