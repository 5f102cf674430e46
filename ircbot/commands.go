package ircbot

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/colliehq/collie/ircbot/flood"
	"github.com/colliehq/collie/ircbot/wire"
	"github.com/colliehq/collie/ircbot/words"
	"github.com/colliehq/collie/signal"
)

// Questions are answered by those who own the record and the alerts. Answers
// are short: more than fits into a few lines is not shown.
type Questions interface {
	// Status is the state of one target, or of all if the name is empty. An
	// unknown target is no error, but an empty answer.
	Status(ctx context.Context, target string) ([]TargetStatus, error)
	// Alerts are those that fire now.
	Alerts(ctx context.Context) ([]AlertStatus, error)
	// Why tells the story of a subject, such as target/gitlab, or a bare name of
	// a target or alert, a sentence each: the verdict first, then what followed.
	Why(ctx context.Context, subject string) ([]string, error)
}

// TargetStatus is a target as !status shows it.
type TargetStatus struct {
	Name   string
	State  signal.State
	Since  time.Time
	Reason string // short; empty if it is up
}

// AlertStatus is an alert as !alerts shows it.
type AlertStatus struct {
	Name     string
	Severity string
	Target   string
	Since    time.Time
	Muted    bool // silenced or inhibited
}

const (
	maxQuestions  = 4 // being answered at once
	maxReplies    = 16
	replyLines    = 3
	questionWait  = 5 * time.Second
	longestArg    = 200
	ctcpEvery     = 5 * time.Second
	peopleAtOnce  = 256 // whose pace is remembered
	helpText      = "I answer !status [TARGET], !alerts, !why SUBJECT and !help. I change nothing."
	versionAnswer = "Collie"
)

// reply is one line that answers somebody. It is not in the spool: who asked
// can ask again.
type reply struct{ command, target, text string }

func (r reply) message() wire.Message { return wire.New(r.command, r.target, r.text) }

// answer is what was found for a question.
type answer struct {
	target string
	lines  []string
}

// asked are the questions that are being answered, and the pace of those who
// ask.
type asked struct {
	wg     sync.WaitGroup
	slots  chan struct{}
	all    flood.Bucket
	people map[string]*asker
	ctcp   flood.Bucket
	slow   flood.Bucket // how often people are told to slow down
}

// asker is somebody who asks.
type asker struct {
	flood.Bucket
	told bool // to slow down, since the last answer
}

func newAsked() *asked {
	return &asked{
		slots: make(chan struct{}, maxQuestions), people: map[string]*asker{},
		slow: flood.Bucket{Burst: 1, Every: ctcpEvery},
		all:  flood.Bucket{Burst: 4, Every: 2 * time.Second}, ctcp: flood.Bucket{Burst: 1, Every: ctcpEvery},
	}
}

func (a *asked) wait() { a.wg.Wait() }

// allow reports whether somebody may ask now: nobody can make us talk more than
// the channel can bear. Who asks too often is told once, in the hint.
func (a *asked) allow(who string, now time.Time) (ok bool, hint string) {
	if len(a.people) >= peopleAtOnce {
		a.people = map[string]*asker{}
	}
	p := a.people[who]
	if p == nil {
		p = &asker{Bucket: flood.Bucket{Burst: 2, Every: 5 * time.Second}}
		a.people[who] = p
	}
	wait := max(p.Wait(now), a.all.Wait(now))
	if wait == 0 {
		p.Take(now, 1)
		a.all.Take(now, 1)
		p.told = false
		return true, ""
	}
	if p.told || a.slow.Wait(now) > 0 {
		return false, ""
	}
	p.told = true
	a.slow.Take(now, 1)
	return false, fmt.Sprintf("Slow down, %d s.", max(1, int(math.Round(wait.Seconds()))))
}

// spokenTo takes up what somebody says: a command in a channel of ours or to us,
// or a CTCP request.
func (s *session) spokenTo(ctx context.Context, m wire.Message, source wire.Mask, now time.Time) {
	text, place := m.Last(), m.Param(0)
	private := s.isSelf(place)
	if _, bot := m.Tags["bot"]; bot || !private && s.room(place) == nil || source.User == "" && source.Host == "" {
		return // bots talk to bots for ever; servers ask nothing
	}
	if request, ctcp := strings.CutPrefix(text, "\x01"); ctcp {
		if private {
			s.ctcp(source.Nick, strings.TrimSuffix(request, "\x01"), now)
		}
		return
	}
	fields := strings.Fields(wire.Clean(text))
	if len(fields) == 0 || !s.conf.Commands {
		return
	}
	word := strings.ToLower(fields[0])
	if !slices.Contains([]string{"!status", "!alerts", "!why", "!help"}, word) {
		return
	}
	result := func(r string) { s.b.metrics.commands.WithLabelValues(s.n.name, word[1:], r).Inc() }
	back := place
	if private {
		back = wire.Word(source.Nick)
	}
	if len(s.replies) >= maxReplies {
		result("limited")
		return
	}
	if ok, hint := s.asked.allow(first(source.Host, source.Nick), now); !ok {
		result("limited")
		if hint != "" {
			s.replies = append(s.replies, reply{"PRIVMSG", back, hint})
		}
		return
	}
	arg := strings.Join(fields[1:], " ")
	if len(arg) > longestArg {
		arg = strings.ToValidUTF8(arg[:longestArg], "")
	}
	select {
	case s.asked.slots <- struct{}{}:
	default:
		result("busy")
		return
	}
	result("answered")
	s.asked.wg.Go(func() {
		defer func() { <-s.asked.slots }()
		ctx, cancel := context.WithTimeout(ctx, questionWait)
		defer cancel()
		a := answer{back, s.b.answer(ctx, word, arg, s.b.now())}
		select {
		case s.answers <- a:
		case <-s.gone:
		}
	})
}

// answered takes an answer into as few lines as it may have.
func (s *session) answered(a answer) {
	limit := wire.Budget(s.self, "PRIVMSG", a.target)
	for i, line := range a.lines {
		if i == replyLines || len(s.replies) >= maxReplies {
			break
		}
		s.replies = append(s.replies, reply{"PRIVMSG", a.target, wire.Split(wire.Clean(line), limit, 1, s.b.more)[0]})
	}
}

// ctcp answers what people's clients ask of ours, seldom.
func (s *session) ctcp(nick, request string, now time.Time) {
	command, arg, _ := strings.Cut(request, " ")
	var text string
	switch strings.ToUpper(command) {
	case "VERSION":
		text = "VERSION " + versionAnswer
	case "PING":
		text = "PING " + wire.Clean(arg[:min(len(arg), 64)])
	default:
		return
	}
	if s.asked.ctcp.Wait(now) > 0 || len(s.replies) >= maxReplies {
		return
	}
	s.asked.ctcp.Take(now, 1)
	s.replies = append(s.replies, reply{"NOTICE", wire.Word(nick), "\x01" + text + "\x01"})
}

// answer finds out what somebody asked.
func (b *Bot) answer(ctx context.Context, word, arg string, now time.Time) []string {
	if word == "!help" {
		return []string{helpText}
	}
	if b.questions == nil {
		return []string{"This bot only tells alerts; it has nobody to ask."}
	}
	lines, err := b.find(ctx, word, arg, now)
	if err != nil {
		b.log.Warn("question not answered", "command", word, "err", err)
		return []string{"I cannot tell at the moment; see the log of Collie."}
	}
	return lines
}

func (b *Bot) find(ctx context.Context, word, arg string, now time.Time) ([]string, error) {
	switch word {
	case "!status":
		found, err := b.questions.Status(ctx, arg)
		if err != nil {
			return nil, err
		}
		return statusLines(found, arg, now), nil
	case "!alerts":
		found, err := b.questions.Alerts(ctx)
		if err != nil {
			return nil, err
		}
		return alertLines(found, now), nil
	}
	if arg == "" {
		return []string{"Why what? !why TARGET, or !why alert/NAME"}, nil
	}
	found, err := b.questions.Why(ctx, arg)
	if err == nil && len(found) == 0 {
		found = []string{"Nothing is on record about " + arg + "."}
	}
	return found, err
}

func statusLines(found []TargetStatus, arg string, now time.Time) []string {
	if arg != "" {
		if len(found) == 0 {
			return []string{"There is no target " + arg + "."}
		}
		return []string{status(found[0], now)}
	}
	counts := map[signal.State]int{}
	var bad []string
	for _, t := range found {
		counts[t.State]++
		if t.State != signal.Up {
			bad = append(bad, status(t, now))
		}
	}
	var parts []string
	for _, state := range signal.States() {
		if counts[state] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", counts[state], state))
		}
	}
	if len(parts) == 0 {
		return []string{"No target is watched."}
	}
	head := strings.Join(parts, ", ")
	if len(bad) == 0 {
		return []string{head}
	}
	return []string{head + ": " + some(bad)}
}

func status(t TargetStatus, now time.Time) string {
	s := fmt.Sprintf("%s is %s for %s", t.Name, t.State, words.Span(now.Sub(t.Since)))
	if t.Reason != "" {
		s += " (" + t.Reason + ")"
	}
	return s
}

func alertLines(found []AlertStatus, now time.Time) []string {
	if len(found) == 0 {
		return []string{"No alert fires."}
	}
	slices.SortStableFunc(found, func(a, b AlertStatus) int { return rank(a.Severity) - rank(b.Severity) })
	texts := make([]string, len(found))
	for i, a := range found {
		texts[i] = strings.TrimSpace(fmt.Sprintf("%s %s", a.Severity, strings.TrimSpace(a.Target+" "+a.Name))) + " for " + words.Span(now.Sub(a.Since))
		if a.Muted {
			texts[i] += " (muted)"
		}
	}
	return []string{fmt.Sprintf("%d firing: %s", len(found), some(texts))}
}

func rank(severity string) int {
	if i := slices.Index([]string{"critical", "warning", "info"}, severity); i >= 0 {
		return i
	}
	return 3
}

// fewItems is how many things one line of an answer names.
const fewItems = 5

func some(texts []string) string {
	if len(texts) <= fewItems {
		return strings.Join(texts, "; ")
	}
	return fmt.Sprintf("%s; and %d more", strings.Join(texts[:fewItems], "; "), len(texts)-fewItems)
}
