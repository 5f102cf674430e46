package resolver

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// answer is what a server said about one question.
type answer struct {
	addrs []netip.Addr // empty: the name does not exist or has none of the kind
	ttl   time.Duration
}

// udpSize is how large an answer over UDP may be: what passes everywhere
// without fragments (https://www.dnsflagday.net/2020/).
const udpSize = 1232

var (
	errTruncated = errors.New("answer is truncated")
	errFormat    = errors.New("server cannot read the question")
	errNotOurs   = errors.New("not the answer to this question")
)

// pack writes the question as a message. Old servers need it without EDNS.
func (q question) pack(id uint16, edns bool) ([]byte, error) {
	name, err := dnsmessage.NewName(q.name)
	if err != nil {
		return nil, fmt.Errorf("name %q: %w", q.name, err)
	}
	b := dnsmessage.NewBuilder(nil, dnsmessage.Header{ID: id, RecursionDesired: true})
	if err := errors.Join(b.StartQuestions(), b.Question(dnsmessage.Question{
		Name: name, Type: q.kind, Class: dnsmessage.ClassINET,
	})); err != nil {
		return nil, fmt.Errorf("name %q: %w", q.name, err)
	}
	if edns {
		var header dnsmessage.ResourceHeader
		if err := errors.Join(header.SetEDNS0(udpSize, dnsmessage.RCodeSuccess, false),
			b.StartAdditionals(), b.OPTResource(header, dnsmessage.OPTResource{})); err != nil {
			return nil, err
		}
	}
	return b.Finish()
}

// parse reads the message that answers the question q with the id. Any bytes
// may come. errNotOurs means that something else arrived: wait on.
func (q question) parse(raw []byte, id uint16) (answer, error) {
	var p dnsmessage.Parser
	header, err := p.Start(raw)
	if err != nil || header.ID != id || !header.Response {
		return answer{}, errNotOurs
	}
	asked, err := p.AllQuestions()
	if err != nil || len(asked) > 1 {
		return answer{}, errNotOurs
	}
	if len(asked) == 0 { // some servers answer an error without the question
		if header.RCode == dnsmessage.RCodeFormatError {
			return answer{}, errFormat
		}
		return answer{}, errNotOurs
	}
	if !q.is(asked[0]) {
		return answer{}, errNotOurs
	}
	if header.Truncated {
		return answer{}, errTruncated
	}
	switch header.RCode {
	case dnsmessage.RCodeSuccess, dnsmessage.RCodeNameError:
		return readAnswer(&p, q.kind)
	case dnsmessage.RCodeFormatError:
		return answer{}, errFormat
	default:
		return answer{}, fmt.Errorf("server answered %s", rcode(header.RCode))
	}
}

func (q question) is(asked dnsmessage.Question) bool {
	return asked.Type == q.kind && asked.Class == dnsmessage.ClassINET && strings.EqualFold(asked.Name.String(), q.name)
}

// rcode is the mnemonic of the failure, as tools print it.
func rcode(c dnsmessage.RCode) string {
	switch c {
	case dnsmessage.RCodeServerFailure:
		return "SERVFAIL"
	case dnsmessage.RCodeNotImplemented:
		return "NOTIMP"
	case dnsmessage.RCodeRefused:
		return "REFUSED"
	}
	return fmt.Sprintf("RCODE %d", uint16(c))
}

// readAnswer gathers the addresses of the kind. The servers of resolv.conf
// follow aliases, so that all that matters is in one message; it holds for the
// shortest of the TTLs.
func readAnswer(p *dnsmessage.Parser, kind dnsmessage.Type) (answer, error) {
	a := answer{ttl: maxTTL}
	for {
		h, err := p.AnswerHeader()
		if errors.Is(err, dnsmessage.ErrSectionDone) {
			break
		}
		if err != nil {
			return answer{}, fmt.Errorf("answer breaks the protocol: %w", err)
		}
		addr, err := readResource(p, h, kind)
		if err != nil {
			return answer{}, fmt.Errorf("answer breaks the protocol: %w", err)
		}
		if h.Class == dnsmessage.ClassINET && (h.Type == kind || h.Type == dnsmessage.TypeCNAME) {
			a.ttl = min(a.ttl, ttl(h.TTL))
		}
		if addr.IsValid() {
			a.addrs = append(a.addrs, addr)
		}
	}
	if len(a.addrs) == 0 {
		a.ttl = min(a.ttl, negativeTTL(p))
	}
	return a, nil
}

func readResource(p *dnsmessage.Parser, h dnsmessage.ResourceHeader, kind dnsmessage.Type) (netip.Addr, error) {
	if h.Class != dnsmessage.ClassINET || h.Type != kind {
		return netip.Addr{}, p.SkipAnswer()
	}
	if kind == dnsmessage.TypeA {
		r, err := p.AResource()
		return netip.AddrFrom4(r.A), err
	}
	r, err := p.AAAAResource()
	return netip.AddrFrom16(r.AAAA).Unmap(), err
}

// negativeTTL is how long the absence of a name holds: the lower of the SOA's
// TTL and its minimum (RFC 2308, section 5). Without an SOA it is not kept, but
// for a moment.
func negativeTTL(p *dnsmessage.Parser) time.Duration {
	for {
		h, err := p.AuthorityHeader()
		if err != nil {
			return failureTTL
		}
		if h.Type != dnsmessage.TypeSOA {
			if p.SkipAuthority() != nil {
				return failureTTL
			}
			continue
		}
		soa, err := p.SOAResource()
		if err != nil {
			return failureTTL
		}
		return min(ttl(h.TTL), ttl(soa.MinTTL), maxNegative)
	}
}

// ttl of a record. One with the highest bit set is 0 (RFC 2181, section 8).
func ttl(seconds uint32) time.Duration {
	if seconds > 1<<31-1 {
		return 0
	}
	return min(time.Duration(seconds)*time.Second, maxTTL)
}
