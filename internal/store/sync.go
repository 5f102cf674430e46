//go:build !collie_nosync

package store

// synchronous is SQLite's setting of the connection that writes: a commit is
// answered after the log is synced (https://sqlite.org/pragma.html#pragma_synchronous).
const synchronous = "FULL"
