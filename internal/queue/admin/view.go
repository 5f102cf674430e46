package admin

import (
	"time"
	"unicode/utf8"

	"github.com/colliehq/collie/internal/queue"
)

// Subscription is one as the API shows it.
type Subscription struct {
	Name        string     `json:"name"`
	Topic       string     `json:"topic"`
	Engine      string     `json:"engine"`
	Ready       int        `json:"ready"`
	Delayed     int        `json:"delayed"`
	Leased      int        `json:"leased"`
	Parked      int        `json:"parked"`
	Spilled     int        `json:"spilled"`
	OldestReady *time.Time `json:"oldest_ready,omitempty"`
	Limit       int        `json:"limit"`
	OnFull      string     `json:"on_full"` // refuse or spill
	CrashLimit  int        `json:"crash_limit"`
}

func subscription(engine string, s queue.Stats) Subscription {
	shown := Subscription{
		Name: s.Name, Topic: s.Topic, Engine: engine, Ready: s.Ready, Delayed: s.Delayed, Leased: s.Leased, Parked: s.Parked,
		Spilled: s.Spilled, Limit: s.Limit, OnFull: "refuse", CrashLimit: s.CrashLimit, OldestReady: moment(s.OldestReady),
	}
	if s.OnFull == queue.Spill {
		shown.OnFull = "spill"
	}
	return shown
}

// Message is one as the API shows it.
type Message struct {
	Key       string            `json:"key"`
	Topic     string            `json:"topic"`
	State     queue.State       `json:"state"`
	Attempt   int               `json:"attempt"` // attempts begun
	FirstSeen time.Time         `json:"first_seen"`
	Due       *time.Time        `json:"due,omitempty"` // of a delayed or leased one
	Cause     string            `json:"cause,omitempty"`
	Headers   map[string]string `json:"headers,omitempty"`
	Size      int               `json:"size"` // bytes of the body
	Body      *string           `json:"body,omitempty"`
	Binary    []byte            `json:"body_base64,omitempty"` // instead of body, if that is no text
}

func message(e queue.Entry, body bool) Message {
	m := Message{
		Key: e.Key, Topic: e.Topic, State: e.State, Attempt: e.Attempt, FirstSeen: e.FirstSeen, Due: moment(e.Due),
		Cause: e.Cause, Headers: e.Headers, Size: len(e.Body),
	}
	switch {
	case !body:
	case utf8.Valid(e.Body):
		text := string(e.Body)
		m.Body = &text
	default:
		m.Binary = e.Body
	}
	return m
}

func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
