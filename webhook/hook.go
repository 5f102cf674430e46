package webhook

import (
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/colliehq/collie/internal/secret"
	"github.com/colliehq/collie/webhook/proof"
	"github.com/colliehq/collie/webhook/sender"
)

// hook is a configured hook at work.
type hook struct {
	Hook
	sender   sender.Sender
	settings sender.Settings
	proof    proof.Proof
	keep     []string // headers to store, in canonical form
	limit    int64    // of the body
	metrics  *hookMetrics
	last     *atomic.Int64 // Unix nanoseconds of the last delivery
	logged   atomic.Int64  // Unix nanoseconds of the last complaint
}

// mayLog keeps strangers from filling the log: one complaint a second and hook.
// All are counted.
func (h *hook) mayLog(now time.Time) bool {
	last := h.logged.Load()
	return now.UnixNano()-last > int64(time.Second) && h.logged.CompareAndSwap(last, now.UnixNano())
}

// alwaysKept headers are stored whoever sends them.
var alwaysKept = []string{"Content-Type", "User-Agent"}

// newHook reads the secrets of a hook.
func newHook(c Hook) (*hook, error) {
	s, known := sender.Named(c.Sender)
	if !known {
		return nil, fmt.Errorf("hook %s: %q is no sender", c.Name, c.Sender)
	}
	settings, err := c.settings()
	if err != nil {
		return nil, fmt.Errorf("hook %s: %w", c.Name, err)
	}
	h := &hook{Hook: c, sender: s, settings: settings, limit: c.maxBody(), proof: proof.None{}}
	for _, list := range [][]string{alwaysKept, s.Keep, c.KeepHeaders} {
		for _, name := range list {
			h.keep = append(h.keep, http.CanonicalHeaderKey(name))
		}
	}
	if c.Insecure {
		return h, nil
	}
	if h.proof, err = s.Prove(settings); err != nil {
		return nil, fmt.Errorf("hook %s: %w", c.Name, err)
	}
	if several, ok := h.proof.(proof.Any); ok {
		switch len(several) {
		case 0:
			return nil, fmt.Errorf("hook %s: anybody could post to it; give it secret_files, or say insecure: true", c.Name)
		case 1:
			h.proof = several[0]
		}
	}
	return h, nil
}

// settings reads the files that a hook names.
func (h Hook) settings() (s sender.Settings, err error) {
	s = sender.Settings{
		Username: h.Username, Header: h.Header, Prefix: h.Prefix, Encoding: h.Encoding, Algorithm: h.Algorithm,
		TimestampHeader: h.TimestampHeader, Window: h.Window, KeyHeader: h.KeyHeader, Receiver: h.receiver(), Mapping: h.Mapping,
	}
	if s.Secrets, err = readAll(h.SecretFiles); err != nil {
		return s, err
	}
	if s.Passwords, err = readAll(h.PasswordFiles); err != nil {
		return s, err
	}
	s.Tokens, err = readAll(h.TokenFiles)
	return s, err
}

func readAll(files []string) (all []secret.Text, err error) {
	for _, f := range files {
		text, err := secret.Read(f)
		if err != nil {
			return nil, err
		}
		all = append(all, text)
	}
	return all, nil
}
