-- +goose Up
-- What exporters want to find again after a restart: how far a listing came,
-- and what the last complete one counted.
CREATE TABLE exporter_checkpoints (
    key   TEXT    PRIMARY KEY,
    state BLOB    NOT NULL,
    saved INTEGER NOT NULL -- Unix nanoseconds
) STRICT;
CREATE INDEX exporter_checkpoints_saved ON exporter_checkpoints (saved);

-- +goose Down
DROP TABLE exporter_checkpoints;
