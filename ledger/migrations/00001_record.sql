-- +goose Up
-- Times are Unix nanoseconds, UTC. An interval that lasts has the largest
-- integer as its end.

-- Every signal, as it came.
CREATE TABLE ledger_journal (
	id          INTEGER PRIMARY KEY,
	at_ns       INTEGER NOT NULL, -- observed
	recorded_ns INTEGER NOT NULL,
	kind        TEXT NOT NULL,
	subject     TEXT NOT NULL,
	target      TEXT NOT NULL,    -- the label target of signals of other kinds, which joins them; '' without one
	source      TEXT NOT NULL,
	status      TEXT NOT NULL,
	seq         INTEGER NOT NULL,
	environment TEXT NOT NULL,
	body        BLOB NOT NULL     -- the CloudEvents JSON
);
CREATE INDEX ledger_journal_at ON ledger_journal (at_ns);
CREATE INDEX ledger_journal_subject ON ledger_journal (subject, at_ns);
CREATE INDEX ledger_journal_target ON ledger_journal (target, at_ns) WHERE target <> '';
CREATE INDEX ledger_journal_kind ON ledger_journal (kind, at_ns);

-- One row per stretch of a target in a state; the last one of a target is open.
CREATE TABLE ledger_intervals (
	id       INTEGER PRIMARY KEY,
	target   TEXT NOT NULL,
	from_ns  INTEGER NOT NULL,
	to_ns    INTEGER NOT NULL,
	state    TEXT NOT NULL,
	reason   TEXT NOT NULL,
	cause    TEXT NOT NULL,
	rule     TEXT NOT NULL,
	evidence TEXT NOT NULL,
	source   TEXT NOT NULL,
	CHECK (from_ns < to_ns)
);
CREATE INDEX ledger_intervals_target ON ledger_intervals (target, from_ns, to_ns, state);
CREATE INDEX ledger_intervals_target_state ON ledger_intervals (target, state, from_ns);
CREATE INDEX ledger_intervals_state ON ledger_intervals (state, from_ns);
CREATE INDEX ledger_intervals_from ON ledger_intervals (from_ns);
CREATE UNIQUE INDEX ledger_intervals_open ON ledger_intervals (target) WHERE to_ns = 9223372036854775807;

-- What each target is, as its exporter last said.
CREATE TABLE ledger_targets (
	name        TEXT PRIMARY KEY,
	source      TEXT NOT NULL,
	seq         INTEGER NOT NULL,    -- the highest of this source
	reported_ns INTEGER NOT NULL,    -- observed, of that signal
	reported    TEXT NOT NULL,       -- the body of that signal
	removed     INTEGER NOT NULL,
	failure_ns  INTEGER NOT NULL,    -- the newest failure; 0 if none
	failure     TEXT NOT NULL        -- the body of that signal
) WITHOUT ROWID;
CREATE INDEX ledger_targets_source ON ledger_targets (source);

-- How far each exporter looked.
CREATE TABLE ledger_leases (
	source       TEXT PRIMARY KEY,
	session      TEXT NOT NULL,
	seq          INTEGER NOT NULL,
	watermark_ns INTEGER NOT NULL,
	every_ns     INTEGER NOT NULL,
	arrived_ns   INTEGER NOT NULL,
	lapsed       INTEGER NOT NULL    -- its targets were closed as unknown
) WITHOUT ROWID;
