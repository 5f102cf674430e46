// Command exporters measures what a probe costs beside blackbox_exporter: both
// serve /probe with one module file, each is asked for the same probes of the
// same targets in turn, and the CPU time that the kernel charged them is
// compared; of other kinds the cost alone. It prints lines "figure exporters.NAME VALUE UNIT".
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const modules = `modules:
  http_2xx: {prober: http, timeout: 5s, http: {preferred_ip_protocol: ip4}}
  tcp_connect: {prober: tcp, timeout: 5s, tcp: {preferred_ip_protocol: ip4}}
  icmp: {prober: icmp, timeout: 5s, icmp: {preferred_ip_protocol: ip4}}
`

func main() {
	probes := flag.Int("probes", 2000, "probes in each measurement")
	rounds := flag.Int("rounds", 5, "measurements of each program; their median counts")
	workers := flag.Int("concurrency", 8, "probes at once")
	peer := flag.String("peer", "prometheus-blackbox-exporter", "the program to compare with")
	collie := flag.String("collie", "", "the collie binary to measure; built if empty")
	flag.Parse()
	b := bench{probes: *probes, rounds: *rounds, workers: *workers}
	if err := b.run(*collie, *peer); err != nil {
		fmt.Fprintln(os.Stderr, "bench exporters:", err)
		os.Exit(1)
	}
}

type bench struct {
	probes, rounds, workers int
}

func (b *bench) run(collie, peer string) error {
	dir, err := os.MkdirTemp("", "collie-bench")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	o, err := serveOthers(context.Background(), dir)
	if o != nil {
		defer func() { _ = o.close() }()
	}
	if err != nil {
		return err
	}
	file, peers := filepath.Join(dir, "modules.yml"), filepath.Join(dir, "blackbox.yml")
	err = errors.Join(os.WriteFile(file, []byte(modules+o.modules()), 0o600), os.WriteFile(peers, []byte(modules), 0o600))
	if err != nil {
		return err
	}
	ours, err := ourCommand(dir, file, collie)
	if err != nil {
		return err
	}
	targets, err := serveTargets()
	if err != nil {
		return err
	}
	defer targets.close()
	us, err := start(ours...)
	if err != nil {
		return err
	}
	defer us.stop()
	them, err := start(peer, "--config.file="+peers)
	if err != nil {
		return fmt.Errorf("%w (on Debian: apt-get install prometheus-blackbox-exporter)", err)
	}
	defer them.stop()
	for _, kind := range []struct{ name, module, target string }{
		{"http", "http_2xx", "http://" + targets.http},
		{"tcp", "tcp_connect", targets.tcp},
		{"icmp", "icmp", "127.0.0.1"},
	} {
		if err := b.compare(kind.name, kind.module, kind.target, us, them); err != nil {
			return fmt.Errorf("%s: %w\n%s", kind.name, err, &us.said)
		}
	}
	return b.measureOthers(o, us)
}

// compare measures both in turn, the first place alternating.
func (b *bench) compare(name, module, target string, us, them *server) error {
	var ratios, own, peer []float64
	for _, s := range []*server{us, them} {
		if _, err := b.measure(s, module, target, b.probes/4); err != nil { // warm up
			return err
		}
	}
	for round := range b.rounds {
		order := []*server{us, them}
		if round%2 == 1 {
			slices.Reverse(order)
		}
		cost := map[*server]float64{}
		for _, s := range order {
			seconds, err := b.measure(s, module, target, b.probes)
			if err != nil {
				return err
			}
			cost[s] = seconds / float64(b.probes)
		}
		ratios, own, peer = append(ratios, cost[us]/cost[them]), append(own, cost[us]), append(peer, cost[them])
	}
	fmt.Printf("figure exporters.%s_cpu_vs_blackbox %.3f ratio\n", name, median(ratios))
	fmt.Printf("figure exporters.%s_cpu_per_probe %.1f us\n", name, median(own)*1e6)
	fmt.Printf("figure exporters.%s_cpu_per_probe_blackbox %.1f us\n", name, median(peer)*1e6)
	return nil
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}

// measure asks for the probes and gives the CPU seconds that they cost.
func (b *bench) measure(s *server, module, target string, probes int) (float64, error) {
	ask := s.url + "/probe?" + url.Values{"module": {module}, "target": {target}}.Encode()
	before, err := s.cpu()
	if err != nil {
		return 0, err
	}
	var left atomic.Int64
	left.Store(int64(probes))
	failed := make(chan error, b.workers)
	var wait sync.WaitGroup
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: b.workers}}
	defer client.CloseIdleConnections()
	for range b.workers {
		wait.Go(func() {
			for left.Add(-1) >= 0 {
				if err := probeOnce(client, ask); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	wait.Wait()
	select {
	case err := <-failed:
		return 0, err
	default:
	}
	after, err := s.cpu()
	return after - before, err
}

func probeOnce(client *http.Client, ask string) error {
	resp, err := client.Get(ask)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err == nil && !strings.Contains(string(body), "\nprobe_success 1\n") {
		err = fmt.Errorf("the probe failed: %s: %s", resp.Status, body)
	}
	return err
}

// server is one of the two programs.
type server struct {
	url  string
	cmd  *exec.Cmd
	said bytes.Buffer // its log
}

// ourCommand is the real binary, as its user runs it, with the module file.
func ourCommand(dir, file, collie string) ([]string, error) {
	if collie == "" {
		collie = filepath.Join(dir, "collie")
		build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", collie, "github.com/colliehq/collie/cmd/collie")
		if out, err := build.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("build collie: %w: %s", err, out)
		}
	}
	config := filepath.Join(dir, "collie.yml")
	text := "modules_file: " + file + "\nprobe: {ad_hoc: true}\n"
	return []string{collie, "up", "--config.file=" + config, "--storage.path=" + filepath.Join(dir, "data")}, os.WriteFile(config, []byte(text), 0o600)
}

func start(command ...string) (*server, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	s := &server{url: "http://" + address, cmd: exec.Command(command[0], append(command[1:], "--web.listen-address="+address)...)}
	s.cmd.Stderr = &s.said
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			return s, conn.Close()
		}
	}
	s.stop()
	return nil, fmt.Errorf("%s does not listen after 20 s: %s", command[0], &s.said)
}

func (s *server) stop() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
}

// cpu is the CPU time of the process and its helpers so far, in seconds. The kernel counts it
// per thread in nanoseconds.
func (s *server) cpu() (float64, error) {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", s.cmd.Process.Pid))
	if err != nil || len(threads) == 0 {
		return 0, errors.Join(err, errors.New("no CPU time in /proc"))
	}
	threads = append(threads, helpers(s.cmd.Process.Pid)...)
	sum := 0.0
	for _, file := range threads {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // a thread that has just ended
		}
		first, _, _ := strings.Cut(string(text), " ")
		ns, err := strconv.ParseFloat(first, 64)
		if err != nil {
			return 0, err
		}
		sum += ns / 1e9
	}
	return sum, nil
}

// helpers are the threads of the processes that the process started, as the one
// that looks at file systems.
func helpers(pid int) (threads []string) {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid)) // the pattern is good
	for _, file := range files {
		text, _ := os.ReadFile(file) // of a thread that has ended: nothing
		for child := range strings.FieldsSeq(string(text)) {
			more, _ := filepath.Glob("/proc/" + child + "/task/*/schedstat")
			threads = append(threads, more...)
		}
	}
	return threads
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// targets is what is probed.
type targets struct {
	http, tcp string
	server    *http.Server
	listener  net.Listener
}

func serveTargets() (*targets, error) {
	web, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	t := &targets{http: web.Addr().String(), tcp: plain.Addr().String(), listener: plain}
	t.server = &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, strings.Repeat("Collie is looking for you.\n", 40))
	})}
	go func() { _ = t.server.Serve(web) }()
	go func() {
		for {
			conn, err := plain.Accept()
			if err != nil {
				return
			}
			_ = conn.Close()
		}
	}()
	return t, nil
}

func (t *targets) close() {
	_ = t.server.Shutdown(context.Background())
	_ = t.listener.Close()
}
