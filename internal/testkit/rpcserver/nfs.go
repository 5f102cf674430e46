package rpcserver

import (
	"slices"
	"strings"
	"sync"
)

// Reaction is how the simulated NFS server does a step differently.
type Reaction struct {
	Status uint32 // says no with this status
	Silent bool   // does it and says nothing
	Raw    func(Call) []byte
	Times  int // how often, then it behaves; 0: always
}

// NFS is a simulated NFS server with rpcbind, mountd and NFS 3 and 4 at one
// port. It follows RFC 1833, 1813, 7530 and 8881 as far as Collie asks, and
// counts what clients leave with it. Set its fields before the first call.
type NFS struct {
	Exports []string // each is a directory, too
	Paths   []string // further directories
	Minors  []uint32 // of version 4; empty: version 4 is not served
	NoV3    bool

	Total, Free, Avail           uint64
	Files, FilesFree, FilesAvail uint64

	*Server
	mu       sync.Mutex
	script   map[string]*Reaction
	steps    []string
	mounts   int
	nextID   uint64
	clients  map[uint64]*client
	replaced map[uint64]uint64 // the client id that a new one takes the place of
}

type client struct {
	owner     string
	confirmed bool
	sessions  map[string]bool
}

// StartNFS starts a simulated server that exports /export and /home.
func StartNFS() (*NFS, error) {
	n := &NFS{
		Exports: []string{"/export", "/home"}, Paths: []string{"/", "/export/builds"}, Minors: []uint32{0, 1, 2},
		Total: 1000 << 20, Free: 600 << 20, Avail: 500 << 20, Files: 1000, FilesFree: 900, FilesAvail: 800,
		script: map[string]*Reaction{}, clients: map[uint64]*client{}, replaced: map[uint64]uint64{},
	}
	var err error
	n.Server, err = Start(n.serve)
	return n, err
}

// On sets how a step is done: null2, null3, null4, mountnull, dump, getport,
// mnt, umnt, export, fsstat, compound, or an operation of NFS 4 by its name.
func (n *NFS) On(step string, r Reaction) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.script[step] = &r
}

// Steps are the steps that were done so far.
func (n *NFS) Steps() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.steps)
}

// Left is how many mounts, and how many client ids that are confirmed, clients
// left with the server.
func (n *NFS) Left() (mounts, clients int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, c := range n.clients {
		if c.confirmed {
			clients++
		}
	}
	return n.mounts, clients
}

// react gives what a step is to do differently.
func (n *NFS) react(step string) Reaction {
	n.steps = append(n.steps, step)
	r := n.script[step]
	if r == nil {
		return Reaction{}
	}
	if r.Times > 0 {
		if r.Times--; r.Times == 0 {
			delete(n.script, step)
		}
	}
	return *r
}

const (
	rpcbindProgram = 100000
	nfsProgram     = 100003
	mountProgram   = 100005
)

// step names what a call asks for.
func step(c Call) string {
	name := map[[2]uint32]string{
		{rpcbindProgram, 3}: "getport", {rpcbindProgram, 4}: "dump",
		{mountProgram, 0}: "mountnull", {mountProgram, 1}: "mnt", {mountProgram, 3}: "umnt", {mountProgram, 5}: "export",
		{nfsProgram, 18}: "fsstat", {nfsProgram, 1}: "compound", {nfsProgram, 0}: "null" + string(rune('0'+c.Version%10)),
	}[[2]uint32{c.Program, c.Procedure}]
	return name
}

func (n *NFS) serve(c Call) []byte {
	n.mu.Lock()
	defer n.mu.Unlock()
	name := step(c)
	r := n.react(name)
	answer := n.do(name, c, r.Status)
	switch {
	case r.Raw != nil:
		return r.Raw(c)
	case r.Silent:
		return nil
	}
	return answer
}

// do does a step; a status that is not 0 is the answer.
func (n *NFS) do(name string, c Call, status uint32) []byte {
	if c.Program == nfsProgram && (c.Version == 3 && n.NoV3 || c.Version == 4 && len(n.Minors) == 0) {
		only := uint32(3)
		if n.NoV3 {
			only = 4
		}
		return Refuse(c, 2, only, only)
	}
	switch name {
	case "dump":
		return Accept(c, n.programs())
	case "getport":
		return Accept(c, U32(uint32(n.Port)))
	case "mnt":
		return Accept(c, n.mnt(NewReader(c.Args).Opaque(), status))
	case "umnt":
		n.mounts--
		return Accept(c)
	case "export":
		return Accept(c, n.list())
	case "fsstat":
		return Accept(c, n.fsstat(status))
	case "compound":
		return n.compound(c)
	case "":
		return Refuse(c, 3)
	default:
		return Accept(c)
	}
}

func (n *NFS) programs() (b []byte) {
	port := uint32(n.Port)
	for _, p := range [][2]uint32{{rpcbindProgram, 2}, {mountProgram, 3}, {nfsProgram, 3}, {nfsProgram, 4}} {
		b = append(b, U32(1, p[0], p[1], 6, port)...)
	}
	return append(b, U32(0)...)
}

func (n *NFS) exists(path string) bool {
	return slices.Contains(n.Exports, path) || slices.Contains(n.Paths, path)
}

func (n *NFS) mnt(path string, status uint32) []byte {
	n.mounts++ // some servers note even those that they refuse
	switch {
	case status != 0:
		return U32(status)
	case !n.exists(path):
		return U32(2)
	}
	return slices.Concat(U32(0), Opaque("handle of "+path[:min(len(path), 40)]), U32(1, 1))
}

func (n *NFS) list() (b []byte) {
	for _, path := range n.Exports {
		b = slices.Concat(b, U32(1), Opaque(path), U32(1), Opaque("192.0.2.0/24"), U32(0))
	}
	return append(b, U32(0)...)
}

func (n *NFS) fsstat(status uint32) []byte {
	if status != 0 {
		return U32(status, 0)
	}
	attributes := append(U32(1), make([]byte, 84)...)
	return slices.Concat(U32(0), attributes, U64(n.Total, n.Free, n.Avail, n.Files, n.FilesFree, n.FilesAvail), U32(0))
}

// cleaned is a path without its last slash.
func cleaned(path string) string { return "/" + strings.Trim(path, "/") }
