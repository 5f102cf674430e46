// Package need says what a test cannot do without. Where it is missing, the
// test is skipped with a line that says what to install; in CI it fails, since
// what was not tried has not been shown to work.
package need

import (
	"os"
	"os/exec"
	"path/filepath"
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

// Built needs a program that test/install builds, and returns its file.
func Built(t testing.TB, name, version string) string {
	t.Helper()
	file := BuiltFile(name, version)
	if file == "" {
		Missing(t, "this test needs "+name+" "+version+", which is not built: make tools builds it")
	}
	return file
}

// BuiltFile is where test/install puts a program that it builds, "" if it did
// not.
func BuiltFile(name, version string) string {
	cache, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	file := filepath.Join(cache, "collie-test", name+"-"+version, name)
	if _, err := os.Stat(file); err != nil {
		return ""
	}
	return file
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
