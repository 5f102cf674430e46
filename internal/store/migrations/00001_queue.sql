-- +goose Up

-- A durable reader of a topic.
CREATE TABLE queue_subscriptions (
    id          INTEGER PRIMARY KEY,
    name        TEXT    NOT NULL UNIQUE,
    topic       TEXT    NOT NULL,
    max_waiting INTEGER NOT NULL,
    on_full     INTEGER NOT NULL, -- 0 refuse, 1 spill
    crash_limit INTEGER NOT NULL
) STRICT;

-- A message once, however many subscriptions it waits in.
CREATE TABLE queue_messages (
    id        INTEGER PRIMARY KEY, -- rises in order of publication
    topic     TEXT    NOT NULL,
    key       TEXT    NOT NULL,
    published INTEGER NOT NULL,    -- Unix nanoseconds
    headers   TEXT    NOT NULL,    -- JSON object, or empty
    body      BLOB    NOT NULL
) STRICT;
CREATE UNIQUE INDEX queue_messages_key ON queue_messages (key, topic) WHERE key <> '';

-- Where a message stands in one subscription.
CREATE TABLE queue_deliveries (
    message      INTEGER NOT NULL,
    subscription INTEGER NOT NULL,
    state        INTEGER NOT NULL, -- 0 ready, 1 delayed, 2 leased, 3 parked, 4 spilled
    due          INTEGER NOT NULL, -- of delayed and leased: nanoseconds of the queue's clock
    attempt      INTEGER NOT NULL, -- attempts begun
    crashes      INTEGER NOT NULL, -- leases lost
    token        INTEGER NOT NULL, -- of the lease
    cause        TEXT    NOT NULL, -- of the last failure
    PRIMARY KEY (message, subscription)
) STRICT, WITHOUT ROWID;
CREATE INDEX queue_deliveries_next ON queue_deliveries (subscription, state, due, message);

-- What was acted on already, remembered for a while.
CREATE TABLE queue_seen (
    subscription TEXT    NOT NULL,
    key          TEXT    NOT NULL,
    at           INTEGER NOT NULL, -- Unix nanoseconds
    PRIMARY KEY (subscription, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX queue_seen_at ON queue_seen (at);

-- The latest time that the queue's clock is known to have shown.
CREATE TABLE queue_clock (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    at INTEGER NOT NULL
) STRICT;

-- +goose Down
DROP TABLE queue_clock;
DROP TABLE queue_seen;
DROP TABLE queue_deliveries;
DROP TABLE queue_messages;
DROP TABLE queue_subscriptions;
