package ledger

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/colliehq/collie/ledger/record"
	"github.com/colliehq/collie/signal"
)

// deliveryPrefix begins the subject of a delivery: what somebody posted to a hook.
const deliveryPrefix = "delivery/"

// maxFollowed bounds how many subjects of one delivery are followed.
const maxFollowed = 20

// whyDelivery tells the way of a delivery: received, stored, handled, confirmed,
// and what followed from the signals that it became.
func (l *Ledger) whyDelivery(ctx context.Context, subject string, since time.Time) (record.Story, error) {
	story := record.Story{Subject: subject, Steps: []record.Step{}}
	found, err := l.about(ctx, subject, "", since)
	if err != nil {
		return story, err
	}
	if len(found) == 0 {
		return story, fmt.Errorf("%w: %s (it may still wait to be handled: collie queue peek webhook)", ErrNoSubject, subject)
	}
	story.Earlier = len(found) > steps
	slices.Reverse(found)
	for i, e := range found {
		told, effects := deliverySteps(e, i == 0)
		story.Steps = append(story.Steps, told...)
		followed, err := l.effects(ctx, e, effects)
		if err != nil {
			return story, err
		}
		story.Steps = append(story.Steps, followed...)
	}
	slices.SortStableFunc(story.Steps, func(a, b record.Step) int { return a.At.Compare(b.At) })
	story.Steps = story.Steps[max(0, len(story.Steps)-steps):]
	story.Summary = story.Steps[len(story.Steps)-1].Text
	return story, nil
}

// deliverySteps tells what one action of the mapper says: the first one also
// how the delivery came.
func deliverySteps(e record.Entry, first bool) ([]record.Step, []signal.Effect) {
	var s signal.Signal
	if err := json.Unmarshal(e.Signal, &s); err != nil {
		return nil, nil
	}
	a, err := s.Action()
	if err != nil {
		return nil, nil
	}
	var all []record.Step
	add := func(at time.Time, what, text, detail string) {
		all = append(all, record.Step{At: at, What: what, Text: text, Detail: detail, Kind: e.Kind, Source: e.Source, Entry: e.ID})
	}
	n := s.Annotations
	received, stored := written(n["received"], e.At), written(n["stored"], e.At)
	if first {
		add(received, record.Seen, fmt.Sprintf("received by hook %s from %s, %s bytes", n["hook"], n["sender"], n["bytes"]), "key "+n["key"])
		add(stored, record.Seen, "stored on the disk, and acknowledged"+after(received, stored), "")
	}
	verb := "handled"
	if strings.HasSuffix(a.Verb, ".parked") {
		verb = "parked for a person"
	}
	text := verb + after(received, e.At)
	if n["attempt"] != "1" {
		text += ", attempt " + n["attempt"]
	}
	add(e.At, record.Decided, text+": "+a.Text, "")
	all[len(all)-1].Verb = a.Verb
	add(e.Recorded, record.Delivered, "confirmed: the queue brought word of it to the record"+after(received, e.Recorded), "")
	return all, a.Effects
}

// effects tells of the signals that a delivery became, and of what was done
// because of them.
func (l *Ledger) effects(ctx context.Context, from record.Entry, effects []signal.Effect) (all []record.Step, err error) {
	ids, subjects := map[string]bool{}, []string{}
	for _, e := range effects {
		ids[e.ID] = true
		if !slices.Contains(subjects, e.Subject) && len(subjects) < maxFollowed {
			subjects = append(subjects, e.Subject)
		}
	}
	for _, subject := range subjects {
		found, err := l.about(ctx, subject, "", from.At)
		if err != nil {
			return nil, err
		}
		for _, e := range found {
			if !follows(e, ids) {
				continue
			}
			if s, ok := step(e); ok {
				s.Text = subject + ": " + s.Text
				all = append(all, s)
			}
		}
	}
	return all, nil
}

// follows reports whether an entry is one of the signals, or names one of them
// as its cause.
func follows(e record.Entry, ids map[string]bool) bool {
	var s signal.Signal
	if err := json.Unmarshal(e.Signal, &s); err != nil {
		return false
	}
	if ids[s.ID] {
		return true
	}
	a, err := s.Action()
	return err == nil && slices.ContainsFunc(a.Causes, func(id string) bool { return ids[id] })
}

func written(text string, otherwise time.Time) time.Time {
	if at, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return at
	}
	return otherwise
}

// after is a length of time for a sentence: these steps are milliseconds apart.
func after(from, to time.Time) string {
	d := max(0, to.Sub(from))
	switch {
	case d < time.Second:
		d = d.Round(100 * time.Microsecond)
	default:
		d = d.Round(100 * time.Millisecond)
	}
	return ", " + d.String() + " after it came"
}
