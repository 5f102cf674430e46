package page

import (
	"cmp"
	"time"
)

// networkRow is one IRC network in the list.
type networkRow struct {
	Name      string
	Server    string
	Nick      string
	Connected bool
	Since     moment
	Error     string
	Next      moment
	NextIn    string // until then, "" if it is now or not known
	Channels  []channelRow
	More      int    // channels that are not shown
	Queued    string // "" for none
	Sent      string
	Folding   bool
	Echo      string
	Late      bool // the echo is older than it should be
}

// channelRow is one channel of a network.
type channelRow struct {
	Name   string
	Joined bool
	Why    string
}

// lateEcho is when the dead man's switch is overdue: the rule
// IRCEchoMissing barks then too.
const lateEcho = 5 * time.Minute

// never is an age that no echo has: it was counted from the year 1.
const never = 100 * 365 * day

func (n IRCNetwork) title() string {
	return cmp.Or(line(n.Name, maxName), line(n.Server, maxName), "a network")
}

func (c clock) networkRow(n IRCNetwork) networkRow {
	row := networkRow{
		Name: n.title(), Server: line(n.Server, maxAddress), Nick: line(n.Nick, maxName), Connected: n.Connected,
		Since: c.moment(n.Since), Error: line(n.Error, maxCause), Folding: n.Folding,
		Echo: lasted(n.EchoAge), Late: n.EchoAge > lateEcho,
	}
	if n.Queued > 0 {
		row.Queued = count(n.Queued)
	}
	if n.Sent > 0 {
		row.Sent = count(n.Sent)
	}
	if n.EchoAge >= never {
		row.Echo = "never"
	}
	if !n.Connected {
		row.Next = c.moment(n.NextTry)
		if in := n.NextTry.Sub(c.now); in >= time.Second {
			row.NextIn = lasted(in)
		}
	}
	row.More = max(0, len(n.Channels)-channelsShown)
	for _, ch := range n.Channels[:len(n.Channels)-row.More] {
		row.Channels = append(row.Channels, channelRow{line(ch.Name, maxName), ch.Joined, line(ch.Why, maxCause)})
	}
	return row
}

// lineRow is one line of the spool in the list.
type lineRow struct {
	At      moment
	Network string
	Channel string
	State   string
	Class   string // the state, if it is one that we know
	How     string // it was confirmed, and how long that took
	Tries   string // "" where there is nothing to tell
	Text    string
	Journal string // address
}

// routine is what nobody needs to see: a heartbeat that is done.
func (l IRCLine) routine() bool {
	return l.Heartbeat && (l.State == "confirmed" || l.State == "folded")
}

func (c clock) lineRow(l IRCLine) lineRow {
	row := lineRow{
		At: c.moment(l.Accepted), Network: line(l.Network, maxName), Channel: cmp.Or(line(l.Channel, maxName), "itself"),
		State: cmp.Or(line(l.State, maxName), "not known"), How: how(l), Text: line(l.Text, maxLine), Journal: journalURL(l.Subject),
	}
	switch l.State {
	case "queued", "sent", "confirmed", "folded", "dropped":
		row.Class = l.State
	}
	if l.Tries > 0 {
		row.Tries = count(l.Tries) + agree(l.Tries, " try", " tries")
	}
	return row
}

// how says how a line was confirmed, and how long all of it took.
func how(l IRCLine) string {
	var text string
	switch {
	case l.State != "confirmed":
		return ""
	case l.Method == "label":
		text = "by the server's answer to its label"
	case l.Method == "echo":
		text = "by its echo"
	case l.Method == "barrier":
		text = "by a PONG that followed"
	case l.Method != "":
		text = "by " + line(l.Method, maxName)
	}
	if l.Done.IsZero() || l.Accepted.IsZero() {
		return text
	}
	took := "within a second"
	if d := l.Done.Sub(l.Accepted); d >= time.Second {
		took = "after " + lasted(d)
	}
	if text == "" {
		return took
	}
	return text + ", " + took
}

// maxLine is more than IRC carries in one line.
const maxLine = 600
