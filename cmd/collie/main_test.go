package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/colliehq/collie/exporters/local"
)

func TestMain(m *testing.M) {
	local.MaybeHelper()
	os.Exit(m.Run())
}

// TestCalls holds exit codes and where text goes: answers to standard output,
// complaints to standard error.
func TestCalls(t *testing.T) {
	dir := t.TempDir()
	bad := filepath.Join(dir, "bad.yml")
	if err := os.WriteFile(bad, []byte("targets:\n  - {name: a, probe: http_2x, target: \"http://localhost/\"}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	tests := map[string]struct {
		args           []string
		code           int
		stdout, stderr string
	}{
		"help":            {[]string{"--help"}, 0, "usage: collie", ""},
		"version":         {[]string{"--version"}, 0, "collie, version", ""},
		"no command":      {nil, 0, "usage: collie", ""},
		"unknown command": {[]string{"upp"}, 2, "", `expected command but got "upp"`},
		"unknown flag":    {[]string{"up", "--web.listen"}, 2, "", "unknown long flag '--web.listen'"},
		"missing file":    {[]string{"--config.file=none.yml", "check"}, 1, "none.yml", ""},
		"bad file":        {[]string{"--config.file=bad.yml", "check"}, 1, "bad.yml:2: targets[0].probe", ""},
		"bad file, up":    {[]string{"--config.file=bad.yml", "up", "--web.listen-address=127.0.0.1:0"}, 1, "", "bad.yml:2: targets[0].probe"},
		"defaults":        {[]string{"check"}, 0, "ok", ""},
		"unknown module":  {[]string{"probe", "htp", "http://localhost/"}, 1, "", `unknown module "htp"`},
		"bad web file":    {[]string{"up", "--web.listen-address=127.0.0.1:0", "--web.config.file=none.yml"}, 1, "", "web configuration none.yml"},
		"no server":       {[]string{"status", "--url=http://127.0.0.1:1"}, 1, "", "cannot reach Collie"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			code := run(t.Context(), tt.args, &stdout, &stderr)
			if code != tt.code || !strings.Contains(stdout.String(), tt.stdout) || !strings.Contains(stderr.String(), tt.stderr) {
				t.Errorf("code %d, want %d\nstdout: %q, want %q\nstderr: %q, want %q", code, tt.code, &stdout, tt.stdout, &stderr, tt.stderr)
			}
			if tt.stderr == "" && stderr.Len() > 0 {
				t.Errorf("complaint: %s", &stderr)
			}
		})
	}
}
