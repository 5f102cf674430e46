package local

import (
	"os"
	"sync/atomic"
)

// helperEnv is set in the environment of a helper, and of nothing else.
const helperEnv = "COLLIE_STATFS_HELPER"

// hooked tells that this program's main function calls MaybeHelper. It is the
// only variable of the package, as a process has only one main function.
// Without it nothing may be started: a program without the hook, started again,
// would do its whole work a second time.
var hooked atomic.Bool

// MaybeHelper makes the process a helper if it was started as one, and then
// does not return. Call it before anything else in main, and in TestMain of
// tests that probe file systems. A program that does not call it asks for sizes
// in its own process: then it cannot end while a mount hangs.
func MaybeHelper() {
	hooked.Store(true)
	if os.Getenv(helperEnv) != "" {
		os.Exit(serve(os.Stdin, os.Stdout))
	}
}
