package doctor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Clock looks whether anything sets the clock, and whether it was set back or
// stepped. begin is when the program began.
func Clock(dir string, begin time.Time) Check {
	return Check{"clock", func(context.Context) []Finding {
		all := kernelClock()
		if info, err := os.Stat(filepath.Join(dir, "collie.db")); err == nil {
			if ahead := time.Until(info.ModTime()); ahead > time.Minute {
				all = append(all, warn("see what sets the clock: records never go back, so they wait for it",
					"the data was written %v in the future: the clock was set back", ahead.Round(time.Second)))
			}
		}
		// Without its monotonic reading a time is what the wall clock said.
		if step := (time.Now().Round(0).Sub(begin.Round(0)) - time.Since(begin)).Abs(); step > 100*time.Millisecond {
			all = append(all, warn("let NTP slew the clock instead of stepping it", "the clock was stepped by %v just now", step.Round(time.Millisecond)))
		}
		return all
	}}
}

// kernelClock is what adjtimex(2) knows of the clock; nothing is changed.
func kernelClock() []Finding {
	var t unix.Timex
	if _, err := unix.Adjtimex(&t); err != nil {
		return []Finding{warn("look at timedatectl or chronyc tracking", "the kernel does not tell about its clock: %v", err)}
	}
	return []Finding{clockOf(t)}
}

func clockOf(t unix.Timex) Finding {
	unit := time.Microsecond
	if t.Status&unix.STA_NANO != 0 {
		unit = time.Nanosecond
	}
	offset, most := time.Duration(t.Offset)*unit, time.Duration(t.Maxerror)*time.Microsecond
	values := map[string]float64{"offset_seconds": offset.Seconds(), "max_error_seconds": most.Seconds()}
	f := ok("set by NTP, off by %v, at most %v", offset, most.Round(time.Millisecond))
	if t.Status&unix.STA_UNSYNC != 0 {
		f = warn("run chrony or systemd-timesyncd: times in the record and signatures with a time window depend on it",
			"nothing sets the clock of this machine (the kernel says: not synchronized)")
	} else if most > time.Second {
		f = warn("look at chronyc tracking: the time source is far away or silent", "set by NTP, but it may be off by %v", most.Round(time.Millisecond))
	}
	f.Values = values
	return f
}

// Files is the limit of open files. Go raises the soft limit to the hard one.
func Files() Check {
	return Check{"open files", func(context.Context) []Finding {
		var limit syscall.Rlimit
		if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
			return []Finding{warn("look at ulimit -Hn", "the limit of open files is not known: %v", err)}
		}
		return []Finding{filesOf(limit.Max)}
	}}
}

func filesOf(most uint64) Finding {
	f := ok("%d may be open", most)
	switch do := "set LimitNOFILE=65536 in the systemd unit"; {
	case most < 256:
		f = bad(do, "only %d may be open", most)
	case most < 4096:
		f = warn(do, "only %d may be open: each connection, log file and probe takes one", most)
	}
	f.Values = map[string]float64{"limit": float64(most)}
	return f
}

// Port looks whether an address can be listened on, or who listens there.
func Port(address string) Check {
	return Check{"port", func(ctx context.Context) []Finding {
		var lc net.ListenConfig
		l, err := lc.Listen(ctx, "tcp", address)
		if err == nil {
			_ = l.Close() // nothing was accepted
			return []Finding{ok("%s is free", address)}
		}
		switch {
		case errors.Is(err, syscall.EADDRINUSE) && collieAt(ctx, address):
			return []Finding{ok("a Collie listens on %s", address)}
		case errors.Is(err, syscall.EADDRINUSE):
			return []Finding{bad("stop the other program (ss -ltnp names it), or choose another address", "another program listens on %s", address)}
		case errors.Is(err, syscall.EACCES):
			return []Finding{bad("choose a port from 1024 on, or give CAP_NET_BIND_SERVICE", "this user may not listen on %s", address)}
		}
		return []Finding{bad("choose an address of this machine", "nobody can listen on %s: %v", address, err)}
	}}
}

// collieAt asks who listens: the page says that it is Collie, the listener of
// webhooks that it knows no such hook. One with TLS, or that wants a password,
// is not recognised.
func collieAt(ctx context.Context, address string) bool {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	if host == "" || host == "0.0.0.0" || host == "::" {
		host = "localhost"
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	for _, path := range []string{"/-/healthy", "/hook/"} {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://%s%s", net.JoinHostPort(host, port), path), nil)
		if err != nil {
			return false
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			continue
		}
		body, _ := io.ReadAll(io.LimitReader(resp.Body, 4096))
		_ = resp.Body.Close() // what was read is enough
		if strings.Contains(string(body), "Collie") || strings.Contains(string(body), "there is no such hook") {
			return true
		}
	}
	return false
}
