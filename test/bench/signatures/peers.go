package main

import (
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/colliehq/collie/internal/match"
)

//go:embed hyperscan.c.txt
var driver string

// cpuSeconds is what f takes.
func cpuSeconds(f func()) float64 {
	before := spent(syscall.RUSAGE_SELF)
	f()
	return (spent(syscall.RUSAGE_SELF) - before).Seconds()
}

func spent(who int) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(who, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// ripgrep counts the lines that one of the patterns matches.
func (b *bench) ripgrep(list []match.Pattern) (float64, error) {
	if _, err := exec.LookPath("rg"); err != nil {
		return 0, fmt.Errorf("the peer is missing: %w; install ripgrep", err)
	}
	name := filepath.Join(b.dir, "patterns")
	if err := os.WriteFile(name, []byte(isolated(list)), 0o600); err != nil {
		return 0, err
	}
	var failed error
	rate := b.median(func() (float64, error) {
		c := exec.Command("rg", "-a", "-j1", "-c", "-f", name, b.file)
		out, err := c.CombinedOutput()
		if err != nil {
			failed = fmt.Errorf("rg: %w: %s", err, out)
			return 0, failed
		}
		return (c.ProcessState.UserTime() + c.ProcessState.SystemTime()).Seconds(), nil
	})
	return rate, failed
}

// isolated writes a pattern a line, each in a group of its own: flags of one
// must not hold for the next.
func isolated(list []match.Pattern) string {
	var all strings.Builder
	for _, p := range list {
		all.WriteString("(?:" + p.Expr + ")\n")
	}
	return all.String()
}

// buildHyperscan compiles the driver; Debian's libhyperscan-dev has the library.
func buildHyperscan(dir string) (program string, err error) {
	source := filepath.Join(dir, "hyperscan.c")
	if err := os.WriteFile(source, []byte(driver), 0o600); err != nil {
		return "", err
	}
	program = filepath.Join(dir, "hyperscan")
	if out, err := exec.Command("cc", "-O3", "-o", program, source, "-lhs").CombinedOutput(); err != nil {
		return "", fmt.Errorf("cc: %w: %s", err, out)
	}
	return program, nil
}

// scan is Hyperscan's rate; it prints its CPU-seconds without reading the file.
func (b *bench) scan(list []match.Pattern) (float64, error) {
	name := filepath.Join(b.dir, "patterns.hs")
	var all strings.Builder
	for _, p := range list {
		all.WriteString(strings.ReplaceAll(p.Expr, "(?P<", "(?<") + "\n")
	}
	if err := os.WriteFile(name, []byte(all.String()), 0o600); err != nil {
		return 0, err
	}
	var failed error
	rate := b.median(func() (float64, error) {
		out, err := exec.Command(b.hyperscan, name, b.file).CombinedOutput()
		if err == nil {
			var s float64
			if s, err = strconv.ParseFloat(strings.TrimSpace(string(out)), 64); err == nil {
				return s, nil
			}
		}
		failed = fmt.Errorf("hyperscan: %w: %s", err, out)
		return 0, failed
	})
	return rate, failed
}

// plain is each expression on each line, on a hundredth of the corpus.
func (b *bench) plain(list []match.Pattern) float64 {
	var all []*regexp.Regexp
	for _, p := range list {
		all = append(all, regexp.MustCompile(p.Expr))
	}
	part := b.text[:len(b.text)/100]
	s := cpuSeconds(func() {
		for line := range strings.Lines(string(part)) {
			for _, re := range all {
				re.MatchString(line)
			}
		}
	})
	return float64(len(part)) / 1e6 / s
}
