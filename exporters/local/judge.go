package local

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/colliehq/collie/exporters/probe"
)

// problem is why a probe fails, as a reason and as a sentence.
type problem struct {
	reason probe.Reason
	text   string
}

// judged is the result over all that was found; no problem is a success.
func judged(m probe.Metrics, problems []problem) probe.Result {
	if len(problems) == 0 {
		return probe.Result{Success: true, Metrics: m}
	}
	slices.SortStableFunc(problems, func(a, b problem) int { return a.rank() - b.rank() })
	const told = 3
	var texts []string
	for _, p := range problems {
		texts = append(texts, p.text)
	}
	cause := strings.Join(texts[:min(told, len(texts))], "; ")
	if more := len(texts) - told; more > 0 {
		cause += fmt.Sprintf("; and %d more", more)
	}
	r := probe.Fail(m, problems[0].reason, cause)
	r.Evidence = strings.Join(texts, "\n")
	return r
}

// rank puts first what is worst: a mount that hangs stops whoever touches it, a
// full one only writers.
func (p problem) rank() int {
	switch p.reason {
	case probe.Stale:
		return 0
	case probe.Quota:
		return 2
	default:
		return 1
	}
}

// judge returns what is wrong with a mount, nil if nothing is.
func (f filesystem) judge(v view) *problem {
	switch {
	case !v.stuck.IsZero():
		return &problem{probe.Stale, fmt.Sprintf("%s hangs: no answer since %s", v.point, v.stuck.UTC().Format("2006-01-02 15:04:05 UTC"))}
	case v.err != nil:
		return &problem{reasonOf(v.err), fmt.Sprintf("%s cannot be asked for its size: %v", v.point, v.err)}
	}
	for _, judge := range []func(view) *problem{f.judgeWritable, f.judgeSpace, f.judgeInodes} {
		if p := judge(v); p != nil {
			return p
		}
	}
	return nil
}

func (f filesystem) judgeWritable(v view) *problem {
	expected := f.options.ExpectWritable
	switch {
	case !v.readonly():
		return nil
	case expected == nil && v.writable:
		return &problem{probe.Status, fmt.Sprintf("%s turned read-only while it was watched; the kernel does that after an error of the disk", v.point)}
	case expected != nil && *expected:
		return &problem{probe.Status, fmt.Sprintf("%s is read-only, but expect_writable is set", v.point)}
	}
	return nil
}

func (f filesystem) judgeSpace(v view) *problem {
	if v.blocks == 0 {
		return nil // a file system without sizes
	}
	total, avail := v.bytes(v.blocks), v.bytes(v.avail)
	has := fmt.Sprintf("%s has %s of %s free", v.point, human(avail), human(total))
	switch least, bytes := f.options.MinFreeRatio, f.options.MinFreeBytes; {
	case avail == 0 && !v.readonly():
		return &problem{probe.Quota, fmt.Sprintf("%s is full: nothing of its %s is free", v.point, human(total))}
	case avail < float64(least)*total:
		return &problem{probe.Quota, fmt.Sprintf("%s, less than %s", has, percent(float64(least)))}
	case avail < float64(bytes):
		return &problem{probe.Quota, fmt.Sprintf("%s, less than %s", has, human(float64(bytes)))}
	}
	return nil
}

func (f filesystem) judgeInodes(v view) *problem {
	if v.files == 0 {
		return nil // inodes are made as needed
	}
	least := float64(f.options.MinFreeInodesRatio)
	switch free := float64(v.filesFree) / float64(v.files); {
	case v.filesFree == 0 && !v.readonly():
		return &problem{probe.Quota, fmt.Sprintf("%s has no inode left of %d: no file can be made", v.point, v.files)}
	case free < least:
		return &problem{probe.Quota, fmt.Sprintf("%s has %d of %d inodes free, less than %s", v.point, v.filesFree, v.files, percent(least))}
	}
	return nil
}

// reasonOf maps what statfs(2) answers, and what keeps us from asking it.
func reasonOf(err error) probe.Reason {
	errno, ok := errors.AsType[syscall.Errno](err)
	if !ok {
		return probe.Timeout // the helper did not come up in time
	}
	switch errno {
	case syscall.ESTALE:
		return probe.Stale
	case syscall.EACCES, syscall.EPERM:
		return probe.Auth
	case syscall.ETIMEDOUT:
		return probe.Timeout
	case syscall.ECONNREFUSED:
		return probe.Refused
	case syscall.ENOTCONN, syscall.EHOSTDOWN, syscall.EHOSTUNREACH, syscall.ENETUNREACH: // the first: the FUSE program died
		return probe.Unreachable
	case syscall.EAGAIN, syscall.ENOMEM, syscall.EMFILE, syscall.ENFILE: // the helper could not be started
		return probe.Quota
	default:
		return probe.Status
	}
}

func seconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}

func percent(ratio float64) string { return fmt.Sprintf("%.3g %%", 100*ratio) }

// human writes bytes as people read them.
func human(bytes float64) string {
	unit := 0
	for bytes >= 1024 && unit < 6 {
		bytes /= 1024
		unit++
	}
	if unit == 0 {
		return fmt.Sprintf("%.0f bytes", bytes)
	}
	return fmt.Sprintf("%.1f %ciB", bytes, " KMGTPE"[unit])
}

// maxLabel bounds a label, in bytes: what is mounted may be any text that a
// user chose.
const maxLabel = 256

// label makes text fit for a label. Bytes that are not UTF-8 are written as in
// Go, so that two names stay two.
func label(s string) string {
	if !utf8.ValidString(s) {
		var b strings.Builder
		for len(s) > 0 {
			r, n := utf8.DecodeRuneInString(s)
			if r == utf8.RuneError && n == 1 {
				fmt.Fprintf(&b, `\x%02x`, s[0])
			} else {
				b.WriteString(s[:n])
			}
			s = s[n:]
		}
		s = b.String()
	}
	if len(s) <= maxLabel {
		return s
	}
	end := maxLabel
	for !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end]
}
