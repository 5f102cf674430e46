-- +goose Up

-- What Alertmanager knows about alerts, so that a restart loses none.
CREATE TABLE alerting_alerts (
    fingerprint TEXT    PRIMARY KEY, -- Alertmanager's, of the labels
    told_hash   INTEGER NOT NULL,    -- as the notification log names the alert
    alert       TEXT    NOT NULL,    -- JSON: labels, annotations, generatorURL, startsAt, endsAt
    resolved    INTEGER NOT NULL,    -- 1 once its recovery was observed
    updated     INTEGER NOT NULL     -- Unix nanoseconds
) STRICT, WITHOUT ROWID;
CREATE INDEX alerting_alerts_resolved ON alerting_alerts (resolved, updated);

-- Silences, in Alertmanager's own form.
CREATE TABLE alerting_silences (
    id      TEXT    PRIMARY KEY,
    expires INTEGER NOT NULL, -- Unix nanoseconds
    body    BLOB    NOT NULL  -- length-delimited silencepb.MeshSilence
) STRICT, WITHOUT ROWID;

-- The last notification of each group and receiver, in Alertmanager's own form.
CREATE TABLE alerting_notifications (
    receiver  TEXT    NOT NULL, -- name/integration/index
    group_key TEXT    NOT NULL,
    expires   INTEGER NOT NULL, -- Unix nanoseconds
    body      BLOB    NOT NULL, -- length-delimited nflogpb.MeshEntry
    PRIMARY KEY (receiver, group_key)
) STRICT, WITHOUT ROWID;

-- What webhooks of outside Alertmanagers said last about an alert.
CREATE TABLE alerting_told (
    receiver    TEXT    NOT NULL,
    group_key   TEXT    NOT NULL,
    fingerprint TEXT    NOT NULL,
    status      TEXT    NOT NULL,
    started     INTEGER NOT NULL, -- Unix nanoseconds
    told        INTEGER NOT NULL, -- Unix nanoseconds
    PRIMARY KEY (receiver, group_key, fingerprint)
) STRICT, WITHOUT ROWID;
CREATE INDEX alerting_told_at ON alerting_told (told);

-- One row each: the last sequence number of our signals, and a place to try
-- whether something can be stored.
CREATE TABLE alerting_sequence (
    id   INTEGER PRIMARY KEY CHECK (id = 1),
    last INTEGER NOT NULL
) STRICT;
CREATE TABLE alerting_trial (
    id   INTEGER PRIMARY KEY CHECK (id = 1),
    body BLOB    NOT NULL
) STRICT;

-- +goose Down
DROP TABLE alerting_trial;
DROP TABLE alerting_sequence;
DROP TABLE alerting_told;
DROP TABLE alerting_notifications;
DROP TABLE alerting_silences;
DROP TABLE alerting_alerts;
