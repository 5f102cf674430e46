package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/colliehq/collie/internal/queue/admin"
	"github.com/colliehq/collie/internal/queue/admin/client"
)

// receiver is the trial of the real program: what a sender was told 202 for is
// in the spool in the end.
type receiver struct {
	dir     string
	data    string
	mounted bool
	hook    string // URL
	program string
	r       *rand.Rand
	faults  int
	pace    time.Duration // between the deliveries of a producer

	mu     sync.Mutex
	acked  map[string]bool // ids that were answered 202
	waits  []time.Duration
	ledger *os.File
	counts [3]atomic.Int64 // 202, 503, no answer
}

// The three ends of a delivery.
const (
	accepted = iota
	refused
	unknown
)

// receiverTrial posts from 64 producers while the program is killed, its disk
// fills and its syncs fail.
func receiverTrial(ctx context.Context, c config) (found result, err error) {
	dir, err := os.MkdirTemp(c.dir, "chaos-receiver-")
	if err != nil {
		return found, err
	}
	defer os.RemoveAll(dir)
	t := &receiver{
		dir: dir, data: filepath.Join(dir, "data"), program: c.collie,
		r: rand.New(rand.NewPCG(c.seed, c.seed)), acked: map[string]bool{},
		pace: 20 * time.Millisecond,
	}
	if err := t.prepare(ctx); err != nil {
		return found, err
	}
	if t.mounted {
		defer syscall.Unmount(t.data, syscall.MNT_DETACH)
	}
	defer t.ledger.Close()
	posting, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	for n := range producers {
		wg.Go(func() { t.post(posting, n) })
	}
	for n := range c.rounds {
		if err = t.round(ctx, n); err != nil {
			err = fmt.Errorf("receiver, round %d: %w", n+1, err)
			break
		}
	}
	stop()
	wg.Wait()
	if err != nil {
		return found, err
	}
	return t.compare(ctx)
}

func (t *receiver) prepare(ctx context.Context) (err error) {
	if t.program == "" {
		t.program = filepath.Join(t.dir, "collie")
		if err := build(ctx, t.program); err != nil {
			return err
		}
	}
	if err := os.Mkdir(t.data, 0o700); err != nil {
		return err
	}
	if t.mounted, err = mount(t.data, "768m"); err != nil {
		return err
	}
	address, err := freeAddress(ctx)
	if err != nil {
		return err
	}
	t.hook = "http://" + address + "/hook/chaos"
	if t.ledger, err = os.Create(filepath.Join(t.dir, "ledger")); err != nil {
		return err
	}
	conf := "targets: []\nwebhooks:\n  listen_address: " + address + `
  hooks: [{name: chaos, sender: generic, insecure: true, key_header: X-Key, hold: true}]
`
	return os.WriteFile(t.config(), []byte(conf), 0o600)
}

func (t *receiver) config() string { return filepath.Join(t.dir, "collie.yml") }

// freeAddress is one that all starts of the program listen on.
func freeAddress(ctx context.Context) (string, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// post sends deliveries of 4 KiB, and writes each answer down before the next.
// The same delivery is sent until it is answered 202, as good senders do.
func (t *receiver) post(ctx context.Context, producer int) {
	hc := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 1}}
	defer hc.CloseIdleConnections()
	for n := 0; ctx.Err() == nil; n++ {
		key := fmt.Sprintf("%d/%d", producer, n)
		for attempt := 0; attempt < 100 && ctx.Err() == nil; attempt++ {
			begin := time.Now()
			id, outcome := t.deliver(ctx, hc, key)
			t.counts[outcome].Add(1)
			if outcome == accepted {
				t.wrote(id, time.Since(begin))
				break
			}
			pause(ctx, 50*time.Millisecond)
		}
		pause(ctx, t.pace)
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

func (t *receiver) deliver(ctx context.Context, hc *http.Client, key string) (id string, outcome int) {
	body := append([]byte(`{"filler":"`), append(bytes.Repeat([]byte("x"), bodySize-13), `"}`...)...)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, t.hook, bytes.NewReader(body))
	if err != nil {
		return "", unknown
	}
	req.Header.Set("X-Key", key)
	req.Header.Set("Content-Type", "application/json")
	resp, err := hc.Do(req)
	if err != nil {
		return "", unknown
	}
	defer func() { _ = resp.Body.Close() }() // read to its end below
	raw, err := io.ReadAll(resp.Body)
	var answer struct {
		ID string `json:"id"`
	}
	switch {
	case resp.StatusCode == http.StatusServiceUnavailable:
		return "", refused
	case err != nil || resp.StatusCode != http.StatusAccepted || json.Unmarshal(raw, &answer) != nil || answer.ID == "":
		return "", unknown
	}
	return answer.ID, accepted
}

func (t *receiver) wrote(id string, took time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.acked[id] = true
	t.waits = append(t.waits, took)
	_, _ = fmt.Fprintln(t.ledger, id) // for whoever looks into a trial that failed
}

// round lets one fault or two happen to one start of the program.
func (t *receiver) round(ctx context.Context, n int) error {
	failing := n%7 == 6
	p, err := t.start(ctx, failing)
	if err != nil {
		return err
	}
	defer p.end() // if it was not killed below
	if err := t.awaitCount(accepted); err != nil {
		return err
	}
	if failing {
		t.faults++ // answers of unknown outcome are 503, after a moment
	}
	if t.mounted && n%5 == 4 {
		t.faults++
		if err := t.fillAndFree(); err != nil {
			return err
		}
	}
	time.Sleep(time.Duration(t.r.IntN(300)) * time.Millisecond)
	t.faults++
	return p.end()
}

// awaitCount waits for one more answer of a kind.
func (t *receiver) awaitCount(kind int) error {
	from := t.counts[kind].Load()
	for begin := time.Now(); t.counts[kind].Load() == from; time.Sleep(2 * time.Millisecond) {
		if time.Since(begin) > time.Minute {
			return fmt.Errorf("no answer of kind %d for a minute", kind)
		}
	}
	return nil
}

func (t *receiver) fillAndFree() error {
	filler := filepath.Join(t.data, "filler")
	f, err := os.Create(filler)
	if err != nil {
		return err
	}
	stop, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- fill(f, stop) }()
	err = t.awaitCount(refused)
	close(stop)
	if err = errors.Join(err, <-done, os.Remove(filler)); err != nil {
		return fmt.Errorf("fill the disk: %w", err)
	}
	return t.awaitCount(accepted)
}

// compare looks for every acknowledged delivery in the spool.
func (t *receiver) compare(ctx context.Context) (found result, err error) {
	p, err := t.start(ctx, false)
	if err != nil {
		return found, err
	}
	defer p.end()
	have, err := t.spooled(ctx, p.url)
	if err != nil {
		return found, err
	}
	found = result{faults: t.faults, acked: len(t.acked), waits: t.waits, refused: int(t.counts[refused].Load()), unknown: int(t.counts[unknown].Load())}
	for id := range t.acked {
		if have[id] == 0 {
			found.lost++
		}
	}
	for _, n := range have {
		found.duplicated += n - 1
	}
	return found, nil
}

// spooled exports the spool as a person would, and counts its ids.
func (t *receiver) spooled(ctx context.Context, url string) (map[string]int, error) {
	out, err := os.Create(filepath.Join(t.dir, "export"))
	if err != nil {
		return nil, err
	}
	defer out.Close()
	c := &client.Client{URL: url, HTTP: http.DefaultClient}
	if err := c.Export(ctx, out, "webhook", ""); err != nil {
		return nil, err
	}
	if _, err := out.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	have := map[string]int{}
	for d := json.NewDecoder(out); ; {
		var m admin.Message
		if err := d.Decode(&m); errors.Is(err, io.EOF) {
			slog.Info("exported", "messages", len(have))
			return have, nil
		} else if err != nil {
			return nil, err
		}
		have[m.Key]++
	}
}
