package link

import (
	"fmt"
	"strings"
	"sync"

	"github.com/colliehq/collie/ircbot/wire"
)

// maxNicks is how many nicks are tried before the connection is given up.
const maxNicks = 8

// nicks are the names to try while we register.
type nicks struct {
	mu     sync.Mutex
	wanted string
	tried  int
}

// next is another nick, no longer than the wanted one by more than a character
// where that is short: the server's NICKLEN is not known yet, 9 is the least.
func (n *nicks) next() (string, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.tried++; n.tried > maxNicks {
		return "", false
	}
	tail := "_"
	if n.tried > 1 {
		tail = fmt.Sprint(n.tried)
	}
	head := n.wanted
	if limit := max(9, len(n.wanted)); len(head)+len(tail) > limit {
		head = strings.TrimRight(head[:limit-len(tail)], "_")
	}
	return head + tail, true
}

// collide answers girc, which asks for another nick when one is in use. Once
// registered we keep the one that we have.
func (l *Link) collide(string) string {
	if l.registered.Load() {
		return ""
	}
	nick, ok := l.nicks.next()
	if !ok {
		l.end(fmt.Errorf("%w: %d nicks beginning with %s are in use", ErrNick, maxNicks, l.c.Nick))
		return ""
	}
	return nick
}

// refused ends a connection whose server does not like our nick at all.
func (l *Link) refused(m wire.Message) {
	if !l.registered.Load() {
		l.end(fmt.Errorf("%w: %s says of %s: %s", ErrNick, l.c.Address, wire.Clean(m.Param(1)), wire.Clean(m.Last())))
	}
}
