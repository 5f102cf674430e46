package host

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
)

// ICMP messages that matter here (RFC 792, RFC 4443).
const (
	echoRequest4, echoReply4 = 8, 0
	echoRequest6, echoReply6 = 128, 129
	echoHeader               = 8 // bytes before the payload
)

// echo makes the requests of one probe and knows their replies.
type echo struct {
	requestType, replyType byte
	anyID                  bool   // the kernel puts its own identifier, and gives us only what is ours
	message                []byte // the request, with the sequence number of the last one
	buffer                 []byte
	seen                   []bool // replies by sequence number
}

// newEcho chooses an identifier and a payload that another process, or the
// probe before this one, will not have.
func newEcho(to netip.Addr, payload int, anyID bool) *echo {
	e := &echo{requestType: echoRequest4, replyType: echoReply4, anyID: anyID, message: make([]byte, echoHeader+payload)}
	if to.Is6() {
		e.requestType, e.replyType = echoRequest6, echoReply6
	}
	e.message[0] = e.requestType
	binary.BigEndian.PutUint16(e.message[4:], uint16(rand.Uint32()))
	data := e.message[echoHeader:]
	copy(data, "Collie is looking for you")
	if len(data) >= 8 {
		binary.BigEndian.PutUint64(data[len(data)-8:], rand.Uint64())
	}
	e.buffer = make([]byte, len(e.message)+maxIPv4Header)
	return e
}

const maxIPv4Header = 60

// request is the packet with the number.
func (e *echo) request(number int) []byte {
	binary.BigEndian.PutUint16(e.message[6:], uint16(number))
	e.message[2], e.message[3] = 0, 0
	if e.requestType == echoRequest4 { // for IPv6 the kernel does it, it knows the pseudo header
		binary.BigEndian.PutUint16(e.message[2:], checksum(e.message))
	}
	e.seen = append(e.seen, false)
	return e.message
}

// checksum is the one's complement sum of RFC 1071.
func checksum(b []byte) uint16 {
	var sum uint32
	for ; len(b) >= 2; b = b[2:] {
		sum += uint32(b[0])<<8 | uint32(b[1])
	}
	if len(b) == 1 {
		sum += uint32(b[0]) << 8
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

// reply waits for the reply to one of the sent packets that has not come yet.
// Whatever else comes in is passed over.
func (e *echo) reply(socket pingSocket, sent int) (number, hops int, err error) {
	for {
		n, hops, err := socket.receive(e.buffer)
		if err != nil {
			return 0, 0, err
		}
		if number, ok := e.match(e.buffer[:n]); ok && number < sent && !e.seen[number] {
			e.seen[number] = true
			return number, hops, nil
		}
	}
}

// match tells whether a message answers one of ours, and which.
func (e *echo) match(b []byte) (number int, ok bool) {
	if len(b) != len(e.message) || b[0] != e.replyType || b[1] != 0 {
		return 0, false
	}
	if !e.anyID && !bytes.Equal(b[4:6], e.message[4:6]) || !bytes.Equal(b[echoHeader:], e.message[echoHeader:]) {
		return 0, false
	}
	return int(binary.BigEndian.Uint16(b[6:])), true
}
