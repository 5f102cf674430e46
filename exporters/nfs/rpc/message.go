package rpc

import (
	"errors"
	"fmt"

	"github.com/colliehq/collie/exporters/nfs/xdr"
)

// Numbers of RFC 5531, section 9.
const (
	messageCall  = 0
	messageReply = 1
	version      = 2

	replyAccepted = 0
	replyDenied   = 1

	acceptSuccess      = 0
	acceptProgUnavail  = 1
	acceptProgMismatch = 2
	acceptProcUnavail  = 3
	acceptGarbageArgs  = 4
	acceptSystemError  = 5

	rejectAuth = 1

	flavorNone = 0
	flavorSys  = 1

	maxAuth = 400 // bytes of a credential's or verifier's body
)

// Procedure is what is called: a program, its version and a number.
type Procedure struct{ Program, Version, Number uint32 }

// Identity is who we say we are (AUTH_SYS, RFC 5531 appendix A). Servers
// believe it or map it to nobody.
type Identity struct {
	Machine  string
	UID, GID uint32
}

// Kind is a way in which a server refuses a call.
type Kind int

// The ways.
const (
	ProgramUnavailable Kind = iota + 1
	VersionMismatch
	ProcedureUnavailable
	GarbageArguments
	SystemError
	ProtocolMismatch // it does not speak version 2 of RPC
	Unauthorized
)

// RefusalError is the answer of a server that lives but does not do what was asked.
type RefusalError struct {
	Kind      Kind
	Low, High uint32 // with VersionMismatch: the versions that it has
	Auth      uint32 // with Unauthorized: the auth_stat
}

// Error says it to people.
func (r *RefusalError) Error() string {
	switch r.Kind {
	case ProgramUnavailable:
		return "the server does not have this program"
	case VersionMismatch:
		return fmt.Sprintf("the server speaks versions %d to %d only", r.Low, r.High)
	case ProcedureUnavailable:
		return "the server does not have this procedure"
	case GarbageArguments:
		return "the server did not understand the arguments"
	case SystemError:
		return "the server reports a fault of its own"
	case ProtocolMismatch:
		return "the server speaks another version of RPC"
	default:
		return "the server refuses our credentials: " + authText(r.Auth)
	}
}

// authText names an auth_stat (RFC 5531, section 9).
func authText(stat uint32) string {
	names := [...]string{1: "bad credential", 2: "rejected credential", 3: "bad verifier", 4: "rejected verifier", 5: "too weak", 6: "invalid response", 7: "failed"}
	if stat > 0 && int(stat) < len(names) {
		return names[stat]
	}
	return fmt.Sprintf("auth_stat %d", stat)
}

// appendCall appends the message that calls a procedure. Without an identity
// the call is anonymous.
func appendCall(xid uint32, p Procedure, who *Identity, args []byte) []byte {
	var e xdr.Encoder
	for _, v := range []uint32{xid, messageCall, version, p.Program, p.Version, p.Number} {
		e.Uint32(v)
	}
	if who == nil {
		e.Uint32(flavorNone)
		e.Opaque(nil)
	} else {
		e.Uint32(flavorSys)
		e.Opaque(who.body())
	}
	e.Uint32(flavorNone) // verifier
	e.Opaque(nil)
	return append(e.Bytes(), args...)
}

func (i *Identity) body() []byte {
	var e xdr.Encoder
	e.Uint32(0) // stamp
	e.String(i.Machine[:min(len(i.Machine), 255)])
	e.Uint32(i.UID)
	e.Uint32(i.GID)
	e.Uint32(0) // further groups
	return e.Bytes()
}

// errStray says that a message is no reply to this call.
var errStray = errors.New("not the reply to this call")

// readReply takes a reply apart and gives what reads its results. The error is
// a *RefusalError if the server says no, errStray if it is about something else.
func readReply(xid uint32, message []byte) (*xdr.Decoder, error) {
	d := xdr.NewDecoder(message)
	if got, kind := d.Uint32(), d.Uint32(); d.Err() == nil && (got != xid || kind != messageReply) {
		return nil, errStray
	}
	switch stat := d.Uint32(); {
	case d.Err() != nil:
		return nil, d.Err()
	case stat == replyAccepted:
		return readAccepted(d)
	case stat == replyDenied:
		return nil, readDenied(d)
	default:
		return nil, fmt.Errorf("%d is no status of a reply", stat)
	}
}

func readAccepted(d *xdr.Decoder) (*xdr.Decoder, error) {
	d.Uint32() // flavor of the verifier, which proves nothing here
	d.Opaque(maxAuth)
	switch stat := d.Uint32(); {
	case d.Err() != nil:
		return nil, d.Err()
	case stat == acceptSuccess:
		return d, nil
	case stat == acceptProgUnavail:
		return nil, &RefusalError{Kind: ProgramUnavailable}
	case stat == acceptProgMismatch:
		r := &RefusalError{Kind: VersionMismatch, Low: d.Uint32(), High: d.Uint32()}
		return nil, errors.Join(d.Err(), r)
	case stat == acceptProcUnavail:
		return nil, &RefusalError{Kind: ProcedureUnavailable}
	case stat == acceptGarbageArgs:
		return nil, &RefusalError{Kind: GarbageArguments}
	case stat == acceptSystemError:
		return nil, &RefusalError{Kind: SystemError}
	default:
		return nil, fmt.Errorf("%d is no status of an accepted call", stat)
	}
}

func readDenied(d *xdr.Decoder) error {
	why, stat := d.Uint32(), d.Uint32()
	switch {
	case d.Err() != nil:
		return d.Err()
	case why == rejectAuth:
		return &RefusalError{Kind: Unauthorized, Auth: stat}
	default:
		return &RefusalError{Kind: ProtocolMismatch}
	}
}
