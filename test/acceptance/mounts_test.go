package acceptance

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/colliehq/collie/internal/testkit/launch"
)

// cmdMounts stops and continues the FUSE program among the descendants of a
// process, and scrapes beside a mount that hangs.
func cmdMounts(ts *testscript.TestScript, s *stage, args []string) error {
	const usage = usageError("mounts freeze|thaw PROCESS PROGRAM | mounts scrape URL MODULE MOUNTPOINT TIMES")
	switch {
	case len(args) == 3 && (args[0] == "freeze" || args[0] == "thaw"):
		p, err := s.process(args[1])
		if err != nil {
			return err
		}
		return freeze(p.PID(), args[2], args[0] == "freeze")
	case len(args) == 5 && args[0] == "scrape":
		times, err := strconv.Atoi(args[4])
		if err != nil {
			return usage
		}
		return scrapeStuck(ts, args[1], args[2], args[3], times)
	}
	return usage
}

// freeze stops or continues the one descendant of pid that runs the program.
func freeze(pid int, program string, stop bool) error {
	found := 0
	for _, child := range descendants(pid) {
		if name, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", child)); strings.TrimSpace(string(name)) == program {
			found = child
		}
	}
	if found == 0 {
		return fmt.Errorf("no %s runs below process %d", program, pid)
	}
	if !stop {
		return syscall.Kill(found, syscall.SIGCONT)
	}
	if err := syscall.Kill(found, syscall.SIGSTOP); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), awaitLimit)
	defer cancel()
	return launch.Await(ctx, program+" to stop", func(context.Context) error {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", found))
		if _, state, _ := strings.Cut(string(stat), ") "); err == nil && !strings.HasPrefix(state, "T") {
			return fmt.Errorf("its state is %.1s", state)
		}
		return err
	})
}

// descendants lists the children of pid, and theirs.
func descendants(pid int) (all []int) {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid)) // the pattern is right
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil { // it has ended
			continue
		}
		for field := range strings.FieldsSeq(string(text)) {
			if child, err := strconv.Atoi(field); err == nil {
				all = append(append(all, child), descendants(child)...)
			}
		}
	}
	return all
}

// held is what must not grow while a mount hangs.
type held struct{ goroutines, descriptors float64 }

// scrapeStuck scrapes again and again, a second apart. Each answer has the size
// that the first one had; from the second on the mount is stuck.
func scrapeStuck(ts *testscript.TestScript, url, module, point string, times int) error {
	var longest time.Duration
	var size string
	var seen []held
	for i := range times {
		begun := time.Now()
		text, err := scrape(fmt.Sprintf("%s/probe?module=%s&target=%s", url, module, point))
		if err == nil {
			_, err = scrape(url + "/targets/metrics")
		}
		if err != nil {
			return fmt.Errorf("scrape %d: %w", i+1, err)
		}
		longest = max(longest, time.Since(begun))
		labels := `{mountpoint="` + point + `"}`
		now, stuck := value(text, "probe_filesystem_size_bytes"+labels), value(text, "probe_filesystem_stuck"+labels)
		if size == "" {
			size = now
		}
		if now == "" || now != size || i > 0 && stuck != "1" {
			return fmt.Errorf("scrape %d: the size is %q, was %q; stuck is %q", i+1, now, size, stuck)
		}
		h, err := holding(url)
		if err != nil {
			return err
		}
		seen = append(seen, h)
		time.Sleep(time.Until(begun.Add(time.Second)))
	}
	ts.Logf("figure mounts.slowest_scrape_seconds %.3f seconds", longest.Seconds())
	if longest > 15*time.Second { // ten times what it should be at most
		return fmt.Errorf("a scrape took %s", longest)
	}
	return constant(ts, seen)
}

func scrape(url string) (string, error) {
	status, text, err := request(context.Background(), http.MethodGet, url)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("%s: status %d: %s", url, status, text)
	}
	return text, err
}

// value is that of a series without other labels, or "".
func value(text, series string) string {
	found := regexp.MustCompile("(?m)^" + regexp.QuoteMeta(series) + " (.*)$").FindStringSubmatch(text)
	if found == nil {
		return ""
	}
	return found[1]
}

func holding(url string) (h held, err error) {
	text, err := scrape(url + "/metrics")
	if err != nil {
		return h, err
	}
	if h.goroutines, err = strconv.ParseFloat(value(text, "go_goroutines"), 64); err != nil {
		return h, err
	}
	h.descriptors, err = strconv.ParseFloat(value(text, "process_open_fds"), 64)
	return h, err
}

// constant holds the second half against the first: other work comes and goes,
// but what is lost with each scrape would be there in all of the second half.
func constant(ts *testscript.TestScript, seen []held) error {
	most, least := seen[2], seen[len(seen)-1] // the first two are those that wait
	for i, h := range seen[2:] {
		if i < len(seen)/2 {
			most.goroutines, most.descriptors = max(most.goroutines, h.goroutines), max(most.descriptors, h.descriptors)
		} else {
			least.goroutines, least.descriptors = min(least.goroutines, h.goroutines), min(least.descriptors, h.descriptors)
		}
	}
	ts.Logf("figure mounts.goroutines_grown %.0f goroutines", max(0, least.goroutines-most.goroutines))
	ts.Logf("figure mounts.descriptors_grown %.0f descriptors", max(0, least.descriptors-most.descriptors))
	if least.goroutines > most.goroutines || least.descriptors > most.descriptors {
		return fmt.Errorf("while the mount hung, %+v became %+v: %+v", most, least, seen)
	}
	return nil
}
