package link

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/colliehq/collie/ircbot/wire"
)

// useful are the capabilities that we ask for, where they are offered.
func useful() []string {
	return []string{
		"account-tag", "batch", "cap-notify", "chghost", "echo-message", "labeled-response", "message-tags", "sasl", "server-time",
	}
}

// caps are the capabilities of a connection. girc asks for all in one line and
// takes a refusal of one for a refusal of all, SASL included: after a NAK we
// ask for each by itself and tell girc of what was granted.
type caps struct {
	mu      sync.Mutex
	on      map[string]bool
	pending map[string]bool // asked for one by one, not yet answered
}

func (c *caps) has(name string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.on[name]
}

func (c *caps) granted(names []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.on == nil {
		c.on = map[string]bool{}
	}
	for _, name := range names {
		off := strings.HasPrefix(name, "-")
		name = strings.TrimPrefix(name, "-")
		delete(c.pending, name)
		c.on[name] = !off
	}
}

func (c *caps) removed(names []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, name := range names {
		delete(c.pending, name)
		delete(c.on, name)
	}
}

// split begins to ask one by one.
func (c *caps) split(names []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pending = map[string]bool{}
	for _, name := range names {
		c.pending[name] = true
	}
}

// asking reports whether we ask one by one, and open whether answers are due.
func (c *caps) asking() (asking, open bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.pending != nil, len(c.pending) > 0
}

func (c *caps) list() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	maps.DeleteFunc(c.on, func(_ string, on bool) bool { return !on })
	return strings.Join(slices.Sorted(maps.Keys(c.on)), " ")
}

// inboundCap says what girc is told of an answer about capabilities.
func (l *Link) inboundCap(m wire.Message, say func(wire.Message)) []wire.Message {
	names := strings.Fields(m.Last())
	switch strings.ToUpper(m.Param(1)) {
	case "LS":
		return []wire.Message{l.offered(m, names)}
	case "ACK":
		l.caps.granted(names)
	case "NAK":
		if asking, _ := l.caps.asking(); !asking && len(names) > 1 && !l.registered.Load() {
			l.caps.split(names)
			for _, name := range names {
				say(wire.New("CAP", "REQ", name))
			}
			return nil
		}
		l.caps.removed(names)
	case "DEL":
		l.caps.removed(names)
		return nil
	default: // NEW, LIST: we have what we want
		return nil
	}
	if l.registered.Load() {
		return nil
	}
	if asking, open := l.caps.asking(); !asking {
		return []wire.Message{m}
	} else if open {
		return nil
	}
	if on := l.caps.list(); on != "" {
		return []wire.Message{wire.New("CAP", m.Param(0), "ACK", on)}
	}
	return []wire.Message{wire.New("CAP", m.Param(0), "NAK", "none")}
}

// offered leaves of an offer what we have a use for.
func (l *Link) offered(m wire.Message, names []string) wire.Message {
	var wanted []string
	for _, offer := range names {
		name, methods, valued := strings.Cut(offer, "=")
		if !slices.Contains(useful(), name) {
			continue
		}
		if name == "sasl" && (l.c.Account == "" || valued && !slices.Contains(strings.Split(methods, ","), "PLAIN")) {
			continue
		}
		wanted = append(wanted, name)
	}
	m.Params = slices.Clone(m.Params)
	m.Params[len(m.Params)-1] = strings.Join(wanted, " ")
	return m
}

// inbound says what girc is told of a message: only what it handles well. say
// writes a line to the server.
func (l *Link) inbound(m wire.Message, say func(wire.Message)) []wire.Message {
	switch strings.ToUpper(m.Command) {
	case "PING", "ERROR", "AUTHENTICATE", "433", "436":
		return []wire.Message{m}
	case "CAP":
		if len(m.Params) < 3 {
			return nil
		}
		return l.inboundCap(m, say)
	case "001":
		if err := l.welcome(); err != nil {
			l.end(err)
		}
		return []wire.Message{m}
	case "432":
		l.refused(m)
	case "437": // nick or channel is held back; before we are in, it is the nick
		if !l.registered.Load() {
			return []wire.Message{m}
		}
	case "900", "903", "907": // logged in
		l.auth.Store(true)
		if m.Command != "900" {
			return []wire.Message{m}
		}
	case "902", "904", "905", "906", "908":
		return l.authFailed(m)
	}
	return nil
}

// authFailed ends the connection, or goes on without an account if that is
// allowed: girc knows no way to, but ends its negotiation at a success.
func (l *Link) authFailed(m wire.Message) []wire.Message {
	switch {
	case l.registered.Load() || m.Command == "908": // after 908, the methods, comes 904
	case l.c.AuthRequired:
		l.end(fmt.Errorf("%w: %s refuses account %s: %s", ErrAuth, l.c.Address, l.c.Account, wire.Clean(m.Last())))
	default:
		return []wire.Message{wire.New("903", m.Param(0), "going on without an account")}
	}
	return nil
}
