package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/colliehq/collie/ledger/record"
	"github.com/colliehq/collie/signal"
)

// published is a state that /targets/metrics showed: acknowledged, and so
// never to be lost.
type published struct {
	target string
	state  signal.State
	since  int64 // Unix milliseconds
}

// seen is all that Collie ever acknowledged.
type seen struct {
	api       string
	ids       map[string]bool // of signals in the journal
	published map[published]bool
}

func newSeen(api string) *seen {
	return &seen{api: api, ids: map[string]bool{}, published: map[published]bool{}}
}

var (
	stateLine = regexp.MustCompile(`(?m)^collie_target_state\{(.*)\} 1$`)
	sinceLine = regexp.MustCompile(`(?m)^collie_target_since_seconds\{(.*)\} (\S+)$`)
	labelPair = regexp.MustCompile(`(\w+)="([^"]*)"`)
)

// look remembers what is acknowledged now. A Collie that does not answer
// acknowledges nothing.
func (s *seen) look(ctx context.Context) {
	if body, err := get(ctx, s.api+"/targets/metrics"); err == nil {
		s.lookAtStates(string(body))
	}
	if entries, err := journal(ctx, s.api, "since=10s"); err == nil {
		for _, e := range entries {
			s.ids[signalID(e)] = true
		}
	}
}

func (s *seen) lookAtStates(text string) {
	since := map[string]int64{}
	for _, m := range sinceLine.FindAllStringSubmatch(text, -1) {
		seconds, err := strconv.ParseFloat(m[2], 64)
		if err == nil {
			since[labels(m[1])["target"]] = int64(seconds * 1000)
		}
	}
	for _, m := range stateLine.FindAllStringSubmatch(text, -1) {
		l := labels(m[1])
		s.published[published{l["target"], signal.State(l["state"]), since[l["target"]]}] = true
	}
}

func labels(text string) map[string]string {
	l := map[string]string{}
	for _, m := range labelPair.FindAllStringSubmatch(text, -1) {
		l[m[1]] = m[2]
	}
	return l
}

func signalID(e record.Entry) string {
	var s signal.Signal
	if err := json.Unmarshal(e.Signal, &s); err != nil {
		return "undecodable entry " + strconv.FormatInt(e.ID, 10)
	}
	return s.ID
}

// all reads every page of a listing.
func all[T any](ctx context.Context, listing string) (items []T, err error) {
	for cursor := ""; ; {
		body, err := get(ctx, listing+"&cursor="+url.QueryEscape(cursor))
		if err != nil {
			return nil, err
		}
		var page struct {
			Data []T    `json:"data"`
			Next string `json:"next"`
		}
		if err := json.Unmarshal(body, &page); err != nil {
			return nil, err
		}
		items = append(items, page.Data...)
		if cursor = page.Next; cursor == "" {
			return items, nil
		}
	}
}

func journal(ctx context.Context, api, query string) ([]record.Entry, error) {
	return all[record.Entry](ctx, api+"/api/collie/v1/journal?kind=target&limit=1000&"+query)
}

// intervals of a target, oldest first.
func (t *trial) intervals(ctx context.Context, target string) ([]record.Interval, error) {
	list, err := all[record.Interval](ctx, t.collie.api+"/api/collie/v1/intervals?limit=1000&since=365d&target="+target)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(list, func(a, b record.Interval) int { return a.From.Compare(b.From) })
	return list, nil
}

func (t *trial) state(ctx context.Context, target string) (signal.State, error) {
	body, err := get(ctx, t.collie.api+"/api/collie/v1/targets/"+target)
	if err != nil {
		return "", err
	}
	var answer struct {
		Data record.Target `json:"data"`
	}
	err = json.Unmarshal(body, &answer)
	return answer.Data.State, err
}

// reckon holds the record against all that was seen.
func (t *trial) reckon(ctx context.Context) error {
	entries, err := journal(ctx, t.collie.api, "since=365d")
	if err != nil {
		return err
	}
	t.reckonJournal(entries)
	recorded := transitions(entries)
	for i := range t.targets {
		name := t.herd.name(i)
		intervals, err := t.intervals(ctx, name)
		if err != nil {
			return err
		}
		t.reckonIntervals(name, intervals)
	}
	for p := range t.seen.published {
		// The metric has the precision of a float: a millisecond either way.
		if !recorded[p] && !recorded[published{p.target, p.state, p.since + 1}] && !recorded[published{p.target, p.state, p.since - 1}] {
			t.lost++
			fmt.Fprintf(os.Stderr, "%s was %s since %s, but the record does not know\n", p.target, p.state, time.UnixMilli(p.since).UTC().Format(time.RFC3339Nano))
		}
	}
	fmt.Fprintf(os.Stderr, "held %d published states and %d signals against the record\n", len(t.seen.published), len(t.seen.ids))
	return nil
}

// transitions are what the journal knows of states. An interval is not asked
// for: one that ended when it began, because nobody looked any more, is none.
func transitions(entries []record.Entry) map[published]bool {
	known := map[published]bool{}
	for _, e := range entries {
		var s signal.Signal
		if err := json.Unmarshal(e.Signal, &s); err != nil {
			continue
		}
		if body, err := s.Target(); err == nil {
			known[published{body.Name, body.State, s.Observed.UnixMilli()}] = true
		}
	}
	return known
}

// reckonJournal counts signals that were there once and are no more, signals
// that are there twice, and holes in the sequence of a target.
func (t *trial) reckonJournal(entries []record.Entry) {
	times, seqs := map[string]int{}, map[string]map[uint64]bool{}
	for _, e := range entries {
		times[signalID(e)]++
		if seqs[e.Subject] == nil {
			seqs[e.Subject] = map[uint64]bool{}
		}
		seqs[e.Subject][e.Seq] = true
	}
	for id, n := range times {
		if n > 1 {
			t.duplicated += n - 1
			fmt.Fprintf(os.Stderr, "%s is in the journal %d times\n", id, n)
		}
	}
	for id := range t.seen.ids {
		if times[id] == 0 {
			t.lost++
			fmt.Fprintf(os.Stderr, "%s was in the journal and is gone\n", id)
		}
	}
	for subject, have := range seqs {
		for seq := range have {
			if !have[seq-1] && len(have) > 1 && !first(have, seq) {
				t.lost++
				fmt.Fprintf(os.Stderr, "%s: sequence %d has no predecessor\n", subject, seq)
			}
		}
	}
}

// first reports whether seq is the lowest.
func first(have map[uint64]bool, seq uint64) bool {
	for other := range have {
		if other < seq {
			return false
		}
	}
	return true
}

// reckonIntervals wants no overlap, no gap, and unknown wherever Collie was
// absent.
func (t *trial) reckonIntervals(name string, list []record.Interval) {
	bad := func(format string, args ...any) {
		t.wrong++
		fmt.Fprintf(os.Stderr, name+": "+format+"\n", args...)
	}
	if len(list) == 0 {
		bad("no intervals")
		return
	}
	var total time.Duration
	for i, v := range list[:len(list)-1] {
		switch next := list[i+1]; {
		case v.To == nil:
			bad("an interval from %s is open, but not the last", v.From)
			return
		case !v.To.Equal(next.From):
			bad("%s until %s is followed by %s from %s", v.State, v.To, next.State, next.From)
		}
		total += v.To.Sub(v.From)
	}
	last := list[len(list)-1]
	if last.To != nil {
		bad("the last interval ended at %s", last.To)
	}
	if want := last.From.Sub(list[0].From); total != want {
		bad("the lengths add up to %s, the wall clock says %s", total, want)
	}
	for _, a := range t.absences {
		if state := at(list, a.from.Add(a.to.Sub(a.from)/2)); state != signal.Unknown {
			bad("%s during %s, want unknown", state, a.why)
		}
	}
}

// at is the state at a time.
func at(list []record.Interval, when time.Time) signal.State {
	state := signal.State("nothing")
	for _, v := range list {
		if !v.From.After(when) {
			state = v.State
		}
	}
	return state
}
