// Package need says what a test cannot do without. Where it is missing, the
// test is skipped with a line that says what to install; in CI it fails, since
// what was not tried has not been shown to work.
package need

import (
	"os"
	"os/exec"
	"testing"
)

// Program needs programs of the system, by name.
func Program(t testing.TB, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := exec.LookPath(name); err != nil {
			Missing(t, "this test needs the program "+name+", which is not installed: make tools installs it on Debian and Ubuntu")
		}
	}
}

// Root needs to run as root.
func Root(t testing.TB) {
	t.Helper()
	if os.Getuid() != 0 {
		Missing(t, "this test mounts a file system: run it as root")
	}
}

// Device needs a device file, such as /dev/fuse.
func Device(t testing.TB, path string) {
	t.Helper()
	if _, err := os.Stat(path); err != nil {
		Missing(t, "this test needs "+path+", which this kernel or container does not have")
	}
}

// Missing skips the test, or fails it if CI is true.
func Missing(t testing.TB, why string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(why)
	}
	t.Skip(why)
}
