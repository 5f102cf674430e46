-- +goose Up
-- Times are Unix nanoseconds, UTC.

-- Each file that was read: how it is known again, and how far it is acknowledged.
CREATE TABLE shipper_files (
    id       INTEGER PRIMARY KEY,
    dev      INTEGER NOT NULL,
    inode    INTEGER NOT NULL,
    birth    INTEGER NOT NULL,
    name     TEXT    NOT NULL,
    path     TEXT    NOT NULL,
    head     BLOB    NOT NULL,
    cursor   INTEGER NOT NULL,
    tail_len INTEGER NOT NULL,
    tail     BLOB    NOT NULL,
    before   INTEGER NOT NULL, -- the cursor before its last move
    past_len INTEGER NOT NULL,
    past     BLOB    NOT NULL,
    size     INTEGER NOT NULL,
    seen     INTEGER NOT NULL
) STRICT;

-- What is being sent: the time of each entry is fixed here before the first
-- attempt, so that a later one is the same to the byte.
CREATE TABLE shipper_flights (
    base    INTEGER PRIMARY KEY, -- the time of entry 0; each later one is 1 ns after
    entries INTEGER NOT NULL
) STRICT;

CREATE TABLE shipper_ranges (
    flight INTEGER NOT NULL REFERENCES shipper_flights (base),
    number INTEGER NOT NULL,
    file   INTEGER NOT NULL,
    first  INTEGER NOT NULL, -- entry
    start  INTEGER NOT NULL, -- byte
    stop   INTEGER NOT NULL,
    sum    INTEGER NOT NULL, -- CRC-32C of the bytes
    mid    INTEGER NOT NULL, -- whether it starts in the middle of a line
    max    INTEGER NOT NULL, -- longest line
    name   TEXT    NOT NULL,
    labels TEXT    NOT NULL,
    PRIMARY KEY (flight, number)
) STRICT, WITHOUT ROWID;

-- The latest time that an entry was given.
CREATE TABLE shipper_clock (
    id   INTEGER PRIMARY KEY CHECK (id = 1),
    last INTEGER NOT NULL
) STRICT;

-- +goose Down
DROP TABLE shipper_clock;
DROP TABLE shipper_ranges;
DROP TABLE shipper_flights;
DROP TABLE shipper_files;
