package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/colliehq/collie/internal/testkit/rabbit"
)

// brokerTrial posts to the program while its RabbitMQ is stopped: senders are
// to see nothing of it. The waits that it finds are of that time. In the end
// what was acknowledged has to be in the record, which is behind the broker.
func brokerTrial(ctx context.Context, c config) (found result, err error) {
	dir, err := os.MkdirTemp(c.dir, "chaos-away-")
	if err != nil {
		return found, err
	}
	defer os.RemoveAll(dir)
	b, err := rabbit.Start(ctx, rabbit.Options{Dir: filepath.Join(dir, "broker")})
	if err != nil {
		return found, err
	}
	defer func() { err = errors.Join(err, b.Stop()) }()
	t := &receiver{dir: dir, data: filepath.Join(dir, "data"), program: c.collie, acked: map[string]bool{}, pace: 100 * time.Millisecond}
	if err := t.prepare(ctx); err != nil {
		return found, err
	}
	if t.mounted { // it needs a disk, and no small one
		if err := syscall.Unmount(t.data, syscall.MNT_DETACH); err != nil {
			return found, err
		}
	}
	defer t.ledger.Close()
	if err := t.behind(b); err != nil {
		return found, err
	}
	p, err := t.start(ctx, false)
	if err != nil {
		return found, err
	}
	defer func() { err = errors.Join(err, p.end()) }()
	if err := t.whileAway(ctx, b, c.away()); err != nil {
		return found, err
	}
	found = result{faults: 1, acked: len(t.acked), waits: t.waits, refused: int(t.counts[refused].Load()), unknown: int(t.counts[unknown].Load())}
	if err := b.StartApp(ctx); err != nil {
		return found, err
	}
	found.lost, err = t.unrecorded(ctx, p.url)
	return found, err
}

// away is how long the broker is stopped: long enough for
// everybody to notice, and shortly in a trial of few rounds.
func (c config) away() time.Duration {
	return min(90*time.Second, time.Duration(c.rounds)*2*time.Second)
}

// behind gives the program a broker, and lets its deliveries be handled.
func (t *receiver) behind(b *rabbit.Broker) error {
	conf, err := os.ReadFile(t.config())
	if err != nil {
		return err
	}
	text := strings.Replace(string(conf), "hold: true", `mapping: {alertname: '"Chaos"'}`, 1)
	text += "queue: {engine: rabbitmq, rabbitmq: {urls: ['amqp://" + b.Address() + "']}}\n"
	return os.WriteFile(t.config(), []byte(text), 0o600)
}

// whileAway posts with all producers while the broker is stopped.
func (t *receiver) whileAway(ctx context.Context, b *rabbit.Broker, d time.Duration) error {
	posting, stop := context.WithCancel(ctx)
	defer stop()
	if err := b.StopApp(ctx); err != nil {
		return err
	}
	var wg sync.WaitGroup
	for n := range producers {
		wg.Go(func() { t.post(posting, n) })
	}
	pause(ctx, d)
	stop()
	wg.Wait()
	if len(t.acked) == 0 {
		return errors.New("nothing was acknowledged while the broker was away")
	}
	return nil
}

// unrecorded counts the acknowledged deliveries of which the record does not
// know that they were handled, of a thousand.
func (t *receiver) unrecorded(ctx context.Context, url string) (lost int, err error) {
	ids, every := 0, max(1, len(t.acked)/1000)
	last := time.Now()
	for id := range t.acked {
		if ids++; ids%every != 0 {
			continue
		}
		for begin := time.Now(); ; pause(ctx, 100*time.Millisecond) {
			known, err := handled(ctx, url, id)
			if err != nil {
				return 0, err
			}
			if known {
				break
			}
			if time.Since(begin) > 15*time.Minute {
				lost++
				break
			}
			if time.Since(last) > 10*time.Second {
				last = time.Now()
				slog.Info("the record is behind", "asked", ids/every)
			}
		}
		if lost > 0 {
			return lost, nil // the others would take as long
		}
	}
	return 0, nil
}

// handled asks the record.
func handled(ctx context.Context, url, id string) (bool, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(url, "/")+"/api/collie/v1/why?subject=delivery/"+id, nil)
	if err != nil {
		return false, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false, fmt.Errorf("ask the record: %w", err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return strings.Contains(string(text), "delivery.handled"), err
}
