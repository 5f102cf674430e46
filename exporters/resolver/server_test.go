package resolver_test

import (
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/miekg/dns"
)

// server is a name server on loopback, over UDP and TCP on one port, that
// answers with what its zone says and counts what it was asked.
type server struct {
	addr string

	mu    sync.Mutex
	zone  map[string][]string // "name. TYPE" to records of the answer section
	auth  map[string][]string // the same for the authority section
	rcode map[string]int      // by name
	asked map[string]int      // by "name. TYPE network"
	drop  map[string]bool     // names that get no answer
	cut   map[string]bool     // names whose answers do not fit into UDP
	lie   map[string]bool     // names for which two wrong answers come first
	old   bool                // does not know EDNS
	hold  chan struct{}       // answers wait for it, if it is set
}

func newServer(t *testing.T) *server {
	t.Helper()
	s := &server{
		zone: map[string][]string{}, auth: map[string][]string{}, rcode: map[string]int{}, asked: map[string]int{},
		drop: map[string]bool{}, cut: map[string]bool{}, lie: map[string]bool{},
	}
	packets, listener := listen(t)
	s.addr = packets.LocalAddr().String()
	for _, srv := range []*dns.Server{
		{PacketConn: packets, Handler: s.handler("udp")},
		{Listener: listener, Handler: s.handler("tcp")},
	} {
		ended := make(chan error, 1)
		started := make(chan struct{})
		srv.NotifyStartedFunc = func() { close(started) }
		go func() { ended <- srv.ActivateAndServe() }()
		<-started
		t.Cleanup(func() {
			if err := srv.Shutdown(); err != nil {
				t.Error(err)
			}
			<-ended
		})
	}
	return s
}

// listen finds a port that is free for both UDP and TCP.
func listen(t *testing.T) (net.PacketConn, net.Listener) {
	t.Helper()
	for range 20 {
		packets, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		listener, err := net.Listen("tcp", packets.LocalAddr().String())
		if err == nil {
			return packets, listener
		}
		packets.Close()
	}
	t.Fatal("no port is free for both UDP and TCP")
	return nil, nil
}

func (s *server) handler(network string) dns.HandlerFunc {
	return func(w dns.ResponseWriter, r *dns.Msg) {
		q := r.Question[0]
		name := strings.ToLower(q.Name)
		key := name + " " + dns.TypeToString[q.Qtype]
		s.mu.Lock()
		s.asked[key+" "+network]++
		hold, drop := s.hold, s.drop[name]
		m := s.reply(r, network, name, key)
		lie := s.lie[name] && network == "udp"
		s.mu.Unlock()
		if hold != nil {
			<-hold
		}
		if drop {
			return
		}
		if lie {
			wrongID := m.Copy()
			wrongID.Id++
			wrongID.Answer = records([]string{name + " 60 IN A 6.6.6.6"})
			otherName := m.Copy()
			otherName.Question[0].Name = "other.example."
			otherName.Answer = wrongID.Answer
			_ = w.WriteMsg(wrongID)
			_ = w.WriteMsg(otherName)
		}
		_ = w.WriteMsg(m)
	}
}

func (s *server) reply(r *dns.Msg, network, name, key string) *dns.Msg {
	m := new(dns.Msg).SetReply(r)
	switch {
	case s.old && r.IsEdns0() != nil:
		m.Rcode = dns.RcodeFormatError
	case s.cut[name] && network == "udp":
		m.Truncated = true
	default:
		m.Rcode = s.rcode[name]
		m.Answer, m.Ns = records(s.zone[key]), records(s.auth[key])
	}
	return m
}

func (s *server) set(key string, texts ...string) {
	s.change(func() { s.zone[key] = texts })
}

// change changes what the server does; it answers already.
func (s *server) change(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

func (s *server) count(key string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[key]
}

func (s *server) total() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.asked {
		n += c
	}
	return n
}

func records(texts []string) []dns.RR {
	var out []dns.RR
	for _, text := range texts {
		rr, err := dns.NewRR(text)
		if err != nil {
			panic(err) // a mistake in a test's zone
		}
		out = append(out, rr)
	}
	return out
}
