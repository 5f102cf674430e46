package ircd_test

import (
	"context"
	"testing"
	"time"

	"github.com/colliehq/collie/internal/testkit/ircd"
	"github.com/colliehq/collie/internal/testkit/need"
)

// People can talk on the servers that tests start.
func TestRealServers(t *testing.T) {
	need.Program(t, "inspircd", "ngircd", "atheme-services")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for name, start := range map[string]func() (*ircd.Real, error){
		"InspIRCd": func() (*ircd.Real, error) { return ircd.StartInspIRCd(ctx, t.TempDir(), true) },
		"ngIRCd":   func() (*ircd.Real, error) { return ircd.StartNgIRCd(ctx, t.TempDir()) },
	} {
		t.Run(name, func(t *testing.T) {
			server, err := start()
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := server.Close(); err != nil {
					t.Error(err)
				}
			}()
			if name == "InspIRCd" {
				if err := server.Register(ctx, "someone", "secret123"); err != nil {
					t.Error(err)
				}
			}
			talk(ctx, t, server.Address)
		})
	}
}

func talk(ctx context.Context, t *testing.T, address string) {
	t.Helper()
	anna, err := ircd.Connect(ctx, address, "anna")
	if err != nil {
		t.Fatal(err)
	}
	defer anna.Close()
	ben, err := ircd.Connect(ctx, address, "ben")
	if err != nil {
		t.Fatal(err)
	}
	defer ben.Close()
	for _, c := range []*ircd.Client{anna, ben} {
		if err := c.Join(ctx, "#test"); err != nil {
			t.Fatal(err)
		}
	}
	if err := anna.Send("PRIVMSG #test :hello ben"); err != nil {
		t.Fatal(err)
	}
	err = ben.Await(ctx, "hello", func([]string) bool { return len(ben.Heard("#test")) > 0 })
	if err != nil {
		t.Fatal(err)
	}
	if got := ben.Heard("#test")[0]; got.From != "anna" || got.Text != "hello ben" {
		t.Errorf("ben heard %+v", got)
	}
}
