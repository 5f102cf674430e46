package ircbot

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/colliehq/collie/internal/testkit/ircd"
)

// 500 alerts in one second, three of them critical: few lines, whose counts add
// up, and every critical one is named.
func TestStorm(t *testing.T) {
	for name, kinds := range map[string]int{"few kinds": 4, "many kinds": 60} {
		for server, caps := range map[string][]string{"labels": ircd.Modern(), "plain": nil} {
			t.Run(name+" "+server, func(t *testing.T) {
				inBubble(t, ircd.Options{Caps: caps}, oneNetwork(), func(r *rig) { storm(r, kinds) })
			})
		}
	}
}

func storm(r *rig, kinds int) {
	r.after(time.Minute)
	begin := time.Now()
	for i := range 500 {
		a := alert{name: fmt.Sprintf("Kind%d", i%kinds), target: fmt.Sprintf("host%d", i), severity: "warning", summary: "is in trouble"}
		if i%200 == 77 {
			a.name, a.severity = "DiskFull", "critical"
		}
		r.tell(a)
		r.after(2 * time.Millisecond)
	}
	r.after(15*time.Second - time.Since(begin))
	lines := r.server.Said("#ops")
	if len(lines) > 12 {
		r.t.Errorf("%d lines in 15 s, more than 12:\n%s", len(lines), strings.Join(r.texts("#ops"), "\n"))
	}
	r.after(10 * time.Minute)
	all := strings.Join(r.texts("#ops"), "\n")
	if got := alertsIn(r.t, r.texts("#ops")); got != 500 {
		r.t.Errorf("the lines tell of %d alerts, want 500:\n%s", got, all)
	}
	for _, host := range []string{"host77", "host277", "host477"} {
		if !regexp.MustCompile(`(?m)^FIRING critical .*\b` + host + `\b`).MatchString(all) {
			r.t.Errorf("the critical alert of %s is not named:\n%s", host, all)
		}
	}
	if got := r.metric("dropped_lines_total"); got != 0 {
		r.t.Errorf("%v lines dropped", got)
	}
}

var counted = regexp.MustCompile(`^(\[[0-9a-f]{3}\] )?(?:FIRING|RESOLVED|MISSED|STILL FIRING) \w+ (\d+) `)

// alertsIn adds up how many alerts lines tell of; parts of one line count once.
func alertsIn(t *testing.T, lines []string) (sum int) {
	t.Helper()
	more := regexp.MustCompile(` \((\d)/\d\)$`)
	for _, l := range lines {
		if m := more.FindStringSubmatch(l); m != nil && m[1] != "1" {
			continue
		}
		n := 1
		if m := counted.FindStringSubmatch(l); m != nil {
			var err error
			if n, err = strconv.Atoi(m[2]); err != nil {
				t.Fatal(err)
			}
		}
		sum += n
	}
	return sum
}

// What fires and is resolved in a storm is told with its last state last.
func TestStormEndsInTheTruth(t *testing.T) {
	inBubble(t, ircd.Options{Caps: ircd.Modern()}, oneNetwork(), func(r *rig) {
		r.after(time.Minute)
		for i := range 60 {
			a := alert{name: "Down", target: fmt.Sprintf("host%d", i), severity: "warning", summary: "gone"}
			r.tell(a)
			a.status = "resolved"
			r.tell(a)
			if i%2 == 0 {
				a.status, a.started = "firing", time.Now().Add(time.Second)
				r.tell(a)
			}
		}
		r.after(5 * time.Minute)
		last := map[string]string{}
		for _, l := range r.texts("#ops") {
			word, _, _ := strings.Cut(l, " ")
			for _, host := range regexp.MustCompile(`host\d+`).FindAllString(l, -1) {
				last[host] = word
			}
		}
		for i := range 60 {
			host := fmt.Sprintf("host%d", i)
			if got := last[host]; got != "" && (i%2 == 0) != (got == "FIRING") {
				t.Errorf("%s: the last word is %s\n%s", host, got, strings.Join(r.texts("#ops"), "\n"))
			}
		}
	})
}

// A storm of JOINs must not hold back our answer to a PING, nor make us talk.
func TestJoinStorm(t *testing.T) {
	inBubble(t, ircd.Options{Caps: ircd.Modern()}, oneNetwork(), func(r *rig) {
		r.after(time.Minute)
		before := len(r.server.Lines())
		var lines []string
		for i := range 1000 {
			lines = append(lines, fmt.Sprintf(":user%d!u@host%d JOIN #ops", i, i))
		}
		begin := time.Now()
		r.server.Raw("collie", append(lines, "PING :are you there")...)
		if err := r.server.Await(r.t.Context(), "PONG", func() bool {
			return strings.HasPrefix(lastOf(r.server.Lines()), "PONG")
		}); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(begin); d > time.Second {
			t.Errorf("PONG after %s", d)
		}
		if n := len(r.server.Lines()) - before; n > 5 {
			t.Errorf("%d lines written, more than 5: %q", n, r.server.Lines()[before:])
		}
	})
}

func lastOf(lines []string) string {
	if len(lines) == 0 {
		return ""
	}
	return lines[len(lines)-1]
}
