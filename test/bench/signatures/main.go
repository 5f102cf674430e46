// Command signatures measures how fast the engine behind signatures is, in MB
// of log per second of CPU on one thread, beside ripgrep, Hyperscan in block
// mode, and the expressions one after the other. All read the same 256 MB: lines
// of real logs, shuffled, with a hit injected into every thousandth.
package main

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/colliehq/collie/internal/match"
	"github.com/colliehq/collie/signatures"
)

func main() {
	c := config{}
	flag.StringVar(&c.logs, "logs", cmp.Or(os.Getenv("COLLIE_SHARED_DATA"), "../shared/data")+"/loghub", "folder of *.log files")
	flag.IntVar(&c.mb, "mb", 256, "size of the corpus")
	flag.IntVar(&c.runs, "runs", 5, "runs of each; the median counts")
	flag.Parse()
	if err := c.run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench signatures:", err)
		os.Exit(1)
	}
}

type config struct {
	logs     string
	mb, runs int
}

func (c config) run() error {
	dir, err := os.MkdirTemp("", "collie-bench-signatures")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	text, err := corpus(c.logs, c.mb<<20)
	if err != nil {
		return err
	}
	b := &bench{dir: dir, text: text, file: filepath.Join(dir, "corpus.log"), runs: c.runs}
	if err := os.WriteFile(b.file, text, 0o600); err != nil {
		return err
	}
	if b.hyperscan, err = buildHyperscan(dir); err != nil {
		fmt.Fprintln(os.Stderr, "without Hyperscan:", err)
	}
	for _, n := range []int{60, 300, 1000} {
		if err := b.compare(n); err != nil {
			return err
		}
	}
	return b.jobLog()
}

type bench struct {
	dir, file, hyperscan string
	text                 []byte
	runs                 int
}

// compare measures the engine and its peers with n patterns.
func (b *bench) compare(n int) error {
	patterns := patterns(n)
	start := time.Now()
	set, err := match.Compile(patterns)
	if err != nil {
		return err
	}
	figure(fmt.Sprintf("compile_%d_seconds", n), time.Since(start).Seconds(), "seconds")
	figure(fmt.Sprintf("automaton_%d_bytes", n), float64(set.Size()), "bytes")
	hits := 0
	portable := b.median(func() (float64, error) {
		hits = 0
		return cpuSeconds(func() { set.Portable().Lines(b.text, func(match.Hit) { hits++ }) }), nil
	})
	best := portable
	if set.Vector() {
		best = b.median(func() (float64, error) { return cpuSeconds(func() { set.Lines(b.text, func(match.Hit) {}) }), nil })
	}
	figure(fmt.Sprintf("portable_mb_per_cpu_second_%d", n), portable, "MB/s")
	figure(fmt.Sprintf("simd_mb_per_cpu_second_%d", n), best, "MB/s")
	figure(fmt.Sprintf("hits_%d", n), float64(hits), "lines")
	rg, err := b.ripgrep(patterns)
	if err != nil {
		return err
	}
	figure(fmt.Sprintf("ripgrep_mb_per_cpu_second_%d", n), rg, "MB/s")
	figure(fmt.Sprintf("portable_vs_ripgrep_%d", n), portable/rg, "ratio")
	if b.hyperscan != "" {
		hs, err := b.scan(patterns)
		if err != nil {
			return err
		}
		figure(fmt.Sprintf("hyperscan_mb_per_cpu_second_%d", n), hs, "MB/s")
		figure(fmt.Sprintf("simd_vs_hyperscan_%d", n), best/hs, "ratio")
	}
	if n == 60 {
		figure("regexp_mb_per_cpu_second_60", b.plain(patterns), "MB/s")
	}
	return nil
}

// jobLog is a log of 10 MB with 300 patterns, through the stream.
func (b *bench) jobLog() error {
	set, err := match.Compile(patterns(300))
	if err != nil {
		return err
	}
	log := b.text[:10<<20]
	seconds := b.medianSeconds(func() float64 {
		return cpuSeconds(func() {
			st := set.Stream(func(match.Found) {})
			_, _ = st.Write(log)
			_ = st.Close()
		})
	})
	figure("job_log_10mb_cpu_seconds", seconds, "seconds")
	shipped, err := signatures.Compile(signatures.Shipped(), time.Now())
	if err != nil {
		return err
	}
	seconds = b.medianSeconds(func() float64 {
		return cpuSeconds(func() {
			c := shipped.Classifier(signatures.Job{})
			_, _ = c.Write(log)
			c.Verdict()
		})
	})
	figure("shipped_10mb_cpu_seconds", seconds, "seconds")
	return nil
}

// median is in MB per CPU-second.
func (b *bench) median(f func() (float64, error)) float64 {
	all := make([]float64, b.runs)
	for i := range all {
		s, err := f()
		if err != nil {
			return 0
		}
		all[i] = float64(len(b.text)) / 1e6 / s
	}
	slices.Sort(all)
	return all[len(all)/2]
}

func (b *bench) medianSeconds(f func() float64) float64 {
	all := make([]float64, b.runs)
	for i := range all {
		all[i] = f()
	}
	slices.Sort(all)
	return all[len(all)/2]
}

func figure(name string, value float64, unit string) {
	fmt.Printf("figure signatures.%s %.4g %s\n", name, value, unit)
}
