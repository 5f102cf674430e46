//go:build !linux

package disk

// Name is the name by which connections ask for this access; empty is SQLite's
// own.
const Name = ""

// Fault answers for a disk in a test. Only Linux has it.
type Fault func(op, file string) error

// Register has nothing to do here.
func Register() error { return nil }

// Inject does nothing here.
func Inject(string, Fault) (remove func()) { return func() {} }
