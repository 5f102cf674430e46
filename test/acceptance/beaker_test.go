package acceptance

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/colliehq/collie/internal/testkit/beaker"
)

// cmdBeaker plays the simulated Beaker lab: its web server, and what its
// scheduler sends to carbon. In a file that is sent, NOW is the time in seconds.
func cmdBeaker(ts *testscript.TestScript, s *stage, args []string) error {
	const usage = usageError("beaker lab NAME PORT | beaker fault NAME FAULT|none | beaker system NAME FQDN CONDITION | " +
		"beaker pass|events udp|tcp PORT | beaker send udp|tcp PORT FILE | beaker run NAME PORT EVERY | beaker stop NAME")
	if len(args) < 2 {
		return usage
	}
	ctx, cancel := context.WithTimeout(context.Background(), awaitLimit)
	defer cancel()
	switch args[0] + strconv.Itoa(len(args)) {
	case "lab3":
		return s.startLab(args[1], args[2])
	case "fault3", "system4":
		return s.changeLab(args)
	case "pass3":
		return beaker.Send(ctx, args[1], "127.0.0.1:"+args[2], beaker.Pass("beaker.", 1, time.Now()))
	case "events3":
		return beaker.Send(ctx, args[1], "127.0.0.1:"+args[2], beaker.Events("beaker.", time.Now()))
	case "send4":
		text := strings.ReplaceAll(strings.TrimSpace(ts.ReadFile(args[3])), "NOW", strconv.FormatInt(time.Now().Unix(), 10))
		return beaker.Send(ctx, args[1], "127.0.0.1:"+args[2], strings.Split(text, "\n"))
	case "run4":
		every, err := time.ParseDuration(args[3])
		if err != nil {
			return err
		}
		s.runBeakerd(args[1], "127.0.0.1:"+args[2], every)
		return nil
	case "stop2":
		if s.stops[args[1]] == nil {
			return fmt.Errorf("nothing called %q runs", args[1])
		}
		s.stops[args[1]]()
		delete(s.stops, args[1])
		return nil
	}
	return usage
}

// startLab starts the web server of a lab of three systems and two jobs.
func (s *stage) startLab(name, port string) error {
	lab, err := beaker.Start("127.0.0.1:"+port, []beaker.System{
		{FQDN: "idle.example.org", Condition: "Automated", Pools: []string{"kernel"}},
		{FQDN: "busy.example.org", Condition: "Automated", User: "ann", Recipe: 7, Started: time.Now(), Pools: []string{"kernel"}},
		{FQDN: "lent.example.org", Condition: "Manual", Loan: "bob", User: "bob"},
	}, []beaker.Job{{ID: 7, Owner: "ann", Recipes: []string{"Running", "Queued"}}, {ID: 9, Owner: "bob", Recipes: []string{"Queued"}}})
	if err != nil {
		return err
	}
	if s.labs == nil {
		s.labs = map[string]*beaker.Lab{}
	}
	s.labs[name] = lab
	s.stops[name] = func() { _ = lab.Stop() } // how it ended is nobody's concern any more
	return nil
}

func (s *stage) changeLab(args []string) error {
	lab := s.labs[args[1]]
	switch {
	case lab == nil:
		return fmt.Errorf("no lab %q", args[1])
	case args[0] == "system":
		lab.Set(beaker.System{FQDN: args[2], Condition: args[3]})
		return nil
	}
	return lab.Break(strings.Replace(args[2], "none", "", 1))
}

func (s *stage) runBeakerd(name, address string, every time.Duration) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		beaker.Run(ctx, "udp", address, "beaker.", every)
	}()
	s.stops[name] = func() { cancel(); <-done }
}
