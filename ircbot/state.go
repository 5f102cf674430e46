package ircbot

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/colliehq/collie/ircbot/wire"
)

// NetworkState is a network as a page shows it.
type NetworkState struct {
	Name      string
	Server    string // connected to, or last tried
	Nick      string
	Connected bool
	Since     time.Time // connected, or not
	Error     string    // why not
	NextTry   time.Time
	Channels  []ChannelState
	Queued    int           // lines that wait
	Sent      int           // lines that the server has not confirmed
	Folding   bool          // more is to be said than may be
	EchoAge   time.Duration // since the dead man's switch came back
}

// ChannelState is a channel as a page shows it.
type ChannelState struct {
	Name   string
	Joined bool
	Why    string // not joined, or not heard
}

// SpooledLine is a line as a page shows it.
type SpooledLine struct {
	ID       int64
	Kind     string // firing, repeat, resolved, missed, dropped or heartbeat
	Network  string
	Channel  string
	Lane     string
	State    string // queued, sent, confirmed, folded or dropped
	Method   string // how it was confirmed
	Tries    int
	Subject  string
	Text     string
	Accepted time.Time
	Sent     time.Time
	Done     time.Time
}

// State shows all configured networks, by name.
func (b *Bot) State() []NetworkState {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := make([]NetworkState, 0, len(b.config))
	for _, conf := range b.config {
		st := NetworkState{}
		if n := b.networks[conf.Name]; n != nil { // it runs
			n.mu.Lock()
			st = n.state
			n.mu.Unlock()
		}
		d := b.spool.Depth(conf.Name)
		st.Name, st.Queued, st.Sent = conf.Name, d.Queued, d.Sent
		st.EchoAge = b.metrics.heartbeats.age(conf.Name)
		all = append(all, st)
	}
	slices.SortFunc(all, func(a, b NetworkState) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// Lines shows the newest lines, the newest first, without the dead man's switch
// as long as it arrives.
func (b *Bot) Lines(ctx context.Context, limit int) ([]SpooledLine, error) {
	found, err := b.spool.Newest(ctx, limit)
	out := make([]SpooledLine, len(found))
	for i, l := range found {
		out[i] = SpooledLine{
			ID: l.ID, Kind: string(l.About.Kind), Network: l.Network, Channel: l.Channel, Lane: l.Lane.String(), State: string(l.State), Method: l.Method, Tries: l.Tries,
			Subject: l.Subject, Text: l.About.Text(wire.LineLimit), Accepted: l.Accepted, Sent: l.Sent, Done: l.Done,
		}
	}
	return out, err
}

func (n *network) welcomed(server string, now time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.state = NetworkState{Name: n.name, Server: server, Connected: true, Since: now}
}

func (n *network) ended(err error, next time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.state.Connected || n.state.Since.IsZero() {
		n.state.Since = n.b.now()
	}
	n.state.Connected, n.state.NextTry, n.state.Channels = false, next, nil
	if err != nil {
		n.state.Error = wire.Clean(err.Error())
	}
}

// show takes over what a session knows.
func (n *network) show(s *session) {
	n.b.metrics.spooled(n.name, n.b.spool.Depth(n.name))
	n.mu.Lock()
	defer n.mu.Unlock()
	n.state.Server, n.state.Nick, n.state.Folding = s.server, wire.Clean(s.self.Nick), s.turn.Storm()
	n.state.Channels = nil
	for _, r := range s.rooms {
		n.state.Channels = append(n.state.Channels, ChannelState{r.name, r.in, r.why})
	}
	slices.SortFunc(n.state.Channels, func(a, b ChannelState) int { return strings.Compare(a.Name, b.Name) })
}
