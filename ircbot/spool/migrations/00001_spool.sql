-- +goose Up
-- Times are Unix nanoseconds, UTC; 0 is none.

-- Every line for IRC, from its acceptance until some time after its end.
CREATE TABLE ircbot_lines (
	id          INTEGER PRIMARY KEY AUTOINCREMENT, -- order of acceptance
	place       INTEGER NOT NULL, -- in the order of talk: the id, of a fold that of its first line
	network     TEXT NOT NULL,
	channel     TEXT NOT NULL,
	lane        INTEGER NOT NULL,
	state       TEXT NOT NULL,    -- queued, sent, confirmed, folded, dropped
	tries       INTEGER NOT NULL, -- how often it was handed to a server
	subject     TEXT NOT NULL,    -- of the alert; '' for lines about several
	target      TEXT NOT NULL,    -- the label target; '' without one
	signal_id   TEXT NOT NULL,
	about       TEXT NOT NULL,    -- what it says, JSON
	bytes       INTEGER NOT NULL, -- of about
	into_id     INTEGER NOT NULL, -- the line that says it too, if it was folded; else 0
	method      TEXT NOT NULL,    -- how it was confirmed
	seen_ns     INTEGER NOT NULL, -- when the notification was made
	accepted_ns INTEGER NOT NULL,
	sent_ns     INTEGER NOT NULL,
	done_ns     INTEGER NOT NULL
);
CREATE INDEX ircbot_lines_open ON ircbot_lines (network, id) WHERE state IN ('queued', 'sent');
CREATE INDEX ircbot_lines_done ON ircbot_lines (done_ns) WHERE done_ns > 0;
CREATE INDEX ircbot_lines_into ON ircbot_lines (into_id) WHERE into_id > 0;

-- What each channel was last told of each alert.
CREATE TABLE ircbot_told (
	network    TEXT NOT NULL,
	channel    TEXT NOT NULL,
	subject    TEXT NOT NULL,
	status     TEXT NOT NULL,
	started_ns INTEGER NOT NULL,
	source     TEXT NOT NULL,
	seq        INTEGER NOT NULL, -- the highest of this source; 0 if it counts none
	episode    INTEGER NOT NULL, -- how often it began to fire
	told_ns    INTEGER NOT NULL, -- when a line about it was last accepted
	PRIMARY KEY (network, channel, subject)
) WITHOUT ROWID;
CREATE INDEX ircbot_told_at ON ircbot_told (told_ns);
