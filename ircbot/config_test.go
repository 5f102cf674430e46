package ircbot

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/colliehq/collie/internal/strictyaml"
)

func decodeConfig(t *testing.T, text string) (Config, []string) {
	t.Helper()
	var node yaml.Node
	if err := yaml.Unmarshal([]byte(text), &node); err != nil {
		t.Fatal(err)
	}
	var told []string
	c := Default()
	strictyaml.Decode(&node, &c, func(_ int, path, msg string) { told = append(told, path+": "+msg) })
	c.Validate(func(path, format string, args ...any) { told = append(told, path+": "+fmt.Sprintf(format, args...)) })
	return c, told
}

func TestConfig(t *testing.T) {
	open := filepath.Join(t.TempDir(), "open")
	if err := os.WriteFile(open, []byte("x\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	good := secretFile(t, "right")
	c, told := decodeConfig(t, `
- name: libera
  servers: ["irc.libera.chat:6697", "irc.eu.libera.chat:6697"]
  nick: collie
  sasl: {account: collie, password_file: `+good+`}
  channels: {"#ops": {receivers: [ops, default]}, "#dev": {receivers: [dev]}}
  spool: {max_age: 1d}
`)
	if len(told) > 0 {
		t.Fatalf("a good configuration: %q", told)
	}
	if n := c[0]; !n.SASL.Required || n.Rate.Burst != 4 || !n.Commands || n.Reconnect.Floor.Seconds() != 20 || n.Spool.MaxBytes != 16<<20 {
		t.Errorf("defaults are lost: %+v", n)
	}
	if diff := cmp.Diff([]string{"default", "dev", "ops"}, c.Receivers()); diff != "" {
		t.Error(diff)
	}
	for server, want := range map[string]bool{"irc.test:6697": true, "irc.test:6667": false} {
		if conf, err := c[0].TLS.config(server); err != nil || (conf != nil) != want {
			t.Errorf("TLS for %s: %v, %v", server, conf != nil, err)
		}
	}
	_, told = decodeConfig(t, `
- servers: [nowhere]
  nick: 1bot
  sasl: {account: collie}
  password_file: `+open+`
  channels: {ops: {receivers: [a]}, "#people": {receivers: [a], key_file: /does/not/exist}}
  heartbeat_channel: "#people"
  rate: {burst: 100, every: 1ms}
  reconnect: {min: 10s, max: 5s}
  spool: {max_bytes: 1, max_age: 1s}
  tls: {enabled: true, cert_file: x}
- name: a
  servers: ["a:1"]
- name: a
  servers: ["a:1"]
`)
	want := []string{
		"[0].name: a network needs a name of letters, digits, dots and dashes, such as libera",
		`[0].servers[0]: "nowhere" is not host:port, such as irc.example.org:6697`,
		"[0].nick: \"1bot\" is not a nick: letters, digits and _-[]\\^{}|`, no digit or dash in front",
		"[0].password_file: everybody on this machine may read the secret file " + open + " (mode 0644); run: chmod 600 " + open,
		"[0].sasl.password_file: the account collie needs a password",
		"[0].tls: cert_file and key_file belong together",
		"[0].channels.#people.key_file: the secret file /does/not/exist does not exist: file does not exist",
		`[0].channels.ops: "ops" is not a channel: it begins with #, and has no spaces and commas`,
		"[0].heartbeat_channel: #people is a channel for people; give the heartbeat one of its own, or leave it out",
		"[0].rate.burst: 100 is not between 1 and 20 lines",
		"[0].rate.every: 1ms is not between 10ms and 1m",
		"[0].reconnect: max must not be shorter than min, and min be above 0",
		"[0].spool.max_bytes: 1 is less than 65536, too little for an evening",
		"[0].spool.max_age: 1s is less than 1m",
		`[2].name: "a" is the name of an earlier network`,
	}
	slices.Sort(want)
	slices.Sort(told)
	if diff := cmp.Diff(want, told); diff != "" {
		t.Error(diff)
	}
}
