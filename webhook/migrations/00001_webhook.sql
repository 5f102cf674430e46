-- +goose Up
-- Times are Unix nanoseconds, UTC.

-- Each hook: since when it is known, and when it was posted to last.
CREATE TABLE webhook_hooks (
    name  TEXT    PRIMARY KEY,
    since INTEGER NOT NULL,
    last  INTEGER NOT NULL -- since, before the first delivery
) STRICT, WITHOUT ROWID;

-- Keys of senders that say the same again on purpose: how often they did.
CREATE TABLE webhook_repeats (
    key  TEXT    PRIMARY KEY, -- hook/key
    last INTEGER NOT NULL,    -- of the newest repetition
    n    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX webhook_repeats_last ON webhook_repeats (last);

-- What deliveries said last about an alert.
CREATE TABLE webhook_told (
    receiver    TEXT    NOT NULL,
    group_key   TEXT    NOT NULL,
    fingerprint TEXT    NOT NULL,
    status      TEXT    NOT NULL,
    started     INTEGER NOT NULL,
    told        INTEGER NOT NULL,
    PRIMARY KEY (receiver, group_key, fingerprint)
) STRICT, WITHOUT ROWID;
CREATE INDEX webhook_told_at ON webhook_told (told);

-- The last sequence number of our signals.
CREATE TABLE webhook_sequence (
    id   INTEGER PRIMARY KEY CHECK (id = 1),
    last INTEGER NOT NULL
) STRICT;

-- +goose Down
DROP TABLE webhook_sequence;
DROP TABLE webhook_told;
DROP TABLE webhook_repeats;
DROP TABLE webhook_hooks;
