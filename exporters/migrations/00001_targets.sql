-- +goose Up
-- One row per target that was ever configured. A row whose target left the
-- configuration stays, so that the sequence numbers of its signals never
-- begin anew.
CREATE TABLE exporter_targets (
    name      TEXT    PRIMARY KEY,
    state     TEXT    NOT NULL,           -- what is published
    since     INTEGER NOT NULL,           -- from when it holds, Unix nanoseconds
    seq       INTEGER NOT NULL,           -- of the last signal
    machine   TEXT    NOT NULL,           -- JSON of verdict.Machine
    last_ping INTEGER NOT NULL DEFAULT 0, -- of a heartbeat, Unix nanoseconds
    removed   INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

-- Until when the exporter looked, as its last lease said.
CREATE TABLE exporter_lease (
    id        INTEGER PRIMARY KEY CHECK (id = 1),
    session   TEXT    NOT NULL,
    watermark INTEGER NOT NULL            -- Unix nanoseconds
) STRICT;

-- +goose Down
DROP TABLE exporter_lease;
DROP TABLE exporter_targets;
