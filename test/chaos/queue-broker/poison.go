package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/colliehq/collie/internal/queue"
	"github.com/colliehq/collie/internal/testkit/rabbit"
)

// victim is how this program is called as a consumer that dies on message X.
const victim = "CHAOS_BROKER_VICTIM"

const poisoned = "X"

// poison runs consumers that kill themselves with SIGKILL on message X, and
// wants X parked with its cause, the others delivered, and X again after a
// redrive.
func poison(ctx context.Context, c config, dir string) (t tally, err error) {
	starting, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	b, err := rabbit.Start(starting, rabbit.Options{Dir: dir + "/broker"})
	if err != nil {
		return t, err
	}
	defer func() { err = errors.Join(err, b.Stop()) }()
	q, err := engine(b.URL())
	if err != nil {
		return t, err
	}
	defer func() { err = errors.Join(err, q.Close()) }()
	if err := q.Declare(ctx, queue.Subscription{Topic: topic, Name: reader}); err != nil {
		return t, err
	}
	keys := []string{"a", "b", poisoned, "c", "d"}
	for _, key := range keys {
		if err := q.Publish(ctx, queue.Message{Topic: topic, Key: key}); err != nil {
			return t, err
		}
	}
	t.sent = len(keys)
	others := map[string]bool{}
	parked, err := die(ctx, c, q, b.URL(), others, &t)
	if err != nil {
		return t, err
	}
	slog.Info("parked", "key", poisoned, "deaths", t.faults, "cause", parked.Cause, "others", len(others))
	t.lost += len(keys) - 1 - len(others)
	return t, redriven(ctx, q)
}

// die starts one consumer after the other until X is parked.
func die(ctx context.Context, c config, q queue.Queue, url string, others map[string]bool, t *tally) (queue.Entry, error) {
	for begin := time.Now(); time.Since(begin) < 20*time.Minute && ctx.Err() == nil; {
		entries, err := q.Peek(ctx, reader, queue.Filter{State: queue.Parked})
		if err != nil {
			return queue.Entry{}, err
		}
		if len(entries) > 0 && entries[0].Key == poisoned && len(others) == 4 {
			return entries[0], nil
		}
		if t.faults > c.deaths {
			return queue.Entry{}, fmt.Errorf("it killed %d consumers and is not parked", t.faults)
		}
		if err := consumeUntilDead(ctx, url, others, t); err != nil {
			return queue.Entry{}, err
		}
	}
	return queue.Entry{}, errors.New("the poisoned message was not parked")
}

// consumeUntilDead runs this program as a victim, for a while or until it has
// killed itself. It prints what it acknowledged.
func consumeUntilDead(ctx context.Context, url string, others map[string]bool, t *tally) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, self)
	cmd.Env = append(os.Environ(), victim+"="+url)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	for line := range strings.Lines(string(out)) {
		key := strings.TrimSpace(line)
		if key == "dying" {
			t.faults++
			continue
		}
		if others[key] {
			t.duplicated++
		}
		others[key] = true
	}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && !exit.Exited() {
		return nil // killed, by itself or for want of work
	}
	return err
}

// beVictim consumes and dies on X.
func beVictim(ctx context.Context, url string) error {
	q, err := engine(url)
	if err != nil {
		return err
	}
	if err := q.Declare(ctx, queue.Subscription{Topic: topic, Name: reader}); err != nil {
		return err
	}
	in, err := q.Consume(ctx, reader, queue.Options{Prefetch: 3})
	if err != nil {
		return err
	}
	for d := range in {
		if d.Key == poisoned {
			fmt.Println("dying")
			self, err := os.FindProcess(os.Getpid())
			if err != nil {
				return err
			}
			return errors.Join(self.Kill(), errors.New("still alive"))
		}
		if err := d.Ack(ctx); err == nil {
			fmt.Println(d.Key)
		}
	}
	return nil
}

func redriven(ctx context.Context, q queue.Queue) error {
	n, err := q.Redrive(ctx, reader)
	if err != nil {
		return err
	}
	if n < 1 {
		return errors.New("nothing was redriven")
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	in, err := q.Consume(ctx, reader, queue.Options{})
	if err != nil {
		return err
	}
	for d := range in {
		if d.Key == poisoned {
			return d.Ack(ctx)
		}
	}
	return errors.New("the poisoned message did not come after the redrive")
}
