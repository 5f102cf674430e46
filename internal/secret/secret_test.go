package secret

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"go.yaml.in/yaml/v3"
)

const plain = "hunter2"

func TestTextNeverTellsItself(t *testing.T) {
	type holder struct {
		Password Text            `json:"password" yaml:"password"`
		Pointer  *Text           `json:"pointer" yaml:"pointer"`
		ByName   map[string]Text `json:"by_name" yaml:"by_name"`
		hidden   Text
	}
	text := New(plain)
	h := holder{text, &text, map[string]Text{"a": text}, text}
	var told bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d", "%T"} {
		fmt.Fprintf(&told, verb+"\n", text)
		fmt.Fprintf(&told, verb+"\n", h)
		fmt.Fprintf(&told, verb+"\n", &h)
	}
	fmt.Fprintln(&told, fmt.Errorf("login: %v", h))
	for _, handler := range []slog.Handler{slog.NewTextHandler(&told, nil), slog.NewJSONHandler(&told, nil)} {
		slog.New(handler).Info("login", "password", text, "holder", h, "pointer", &text)
	}
	asJSON, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	asYAML, err := yaml.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	told.Write(asJSON)
	told.Write(asYAML)
	for _, form := range []string{plain, fmt.Sprintf("%x", plain), fmt.Sprintf("%d", []byte(plain))} {
		if strings.Contains(told.String(), form) {
			t.Errorf("tells the secret as %q:\n%s", form, told.String())
		}
	}
	if !strings.Contains(string(asYAML), "password: "+Mark) || text.Reveal() != plain {
		t.Errorf("got %s", asYAML)
	}
	if fmt.Sprint(Text{}) != "" || !(Text{}).Empty() {
		t.Error("no secret must not look like one")
	}
}

func write(t *testing.T, content string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestRead(t *testing.T) {
	for content, want := range map[string]string{"a": "a", "a\n": "a", "a b \r\n": "a b ", "a\nb\n\n": "a\nb"} {
		got, err := Read(write(t, content, 0o640))
		if err != nil || got.Reveal() != want {
			t.Errorf("%q: %q %v", content, got.Reveal(), err)
		}
	}
}

func TestReadRefuses(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	open := write(t, plain, 0o644)
	for name, c := range map[string]struct{ path, want string }{
		"world-readable": {open, "everybody on this machine may read the secret file " + open + " (mode 0644); run: chmod 600 " + open},
		"absent":         {"/nonexistent/s", "the secret file /nonexistent/s does not exist: file does not exist"},
		"empty":          {write(t, "\n", 0o600), "is empty"},
		"large":          {write(t, strings.Repeat("x", MaxFile+1), 0o600), "a secret has at most 65536"},
		"directory":      {t.TempDir(), "is a directory"},
		"pipe":           {pipe, "is not a regular file"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Read(c.path)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %s", err, c.want)
			}
			if !got.Empty() || err != nil && strings.Contains(err.Error(), plain) {
				t.Error("a refused secret is told")
			}
		})
	}
}

func TestNames(t *testing.T) {
	for _, key := range []string{"password", "bearer_token", "client_secret", "Authorization", "X-Api-Key", "Cookie", "credentials", "key", "access_key", "Private-Token"} {
		if !Named(key) || NamedFile(key) {
			t.Errorf("%s is a secret's name", key)
		}
	}
	for _, key := range []string{"password_file", "key_file", "secret_files", "credentials_file", "access_key_file"} {
		if Named(key) || !NamedFile(key) {
			t.Errorf("%s is the name of a secret's file", key)
		}
	}
	for _, key := range []string{"name", "keys_per_page", "modules_file", "ca_file", "monkey", "tokenizer", "depends_on", "_file", "file"} {
		if Named(key) || NamedFile(key) {
			t.Errorf("%s is no secret's name", key)
		}
	}
}

func TestURLs(t *testing.T) {
	for text, want := range map[string]string{
		"https://a:b@h/p":                   "https://a:<secret>@h/p",
		"amqp://guest:g/u@x@h":              "amqp://guest:g/u@x@h",
		"see https://a:b@h and irc://:p@h2": "see https://a:<secret>@h and irc://:<secret>@h2",
		"https://token@h/":                  "https://token@h/",
		"https://h/a:b@c":                   "https://h/a:b@c",
		"https://a:p@q@h/":                  "https://a:<secret>@h/",
		"host:80":                           "host:80",
	} {
		if got := URLs(text); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
	for text, want := range map[string]bool{"https://a:b@h": true, "https://a@h": false, "h:80": false, "//a:b@h": true, "%zz": false} {
		if InURL(text) != want {
			t.Errorf("%s: want %v", text, want)
		}
	}
}
