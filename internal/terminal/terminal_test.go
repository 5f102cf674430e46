package terminal_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/colliehq/collie/internal/terminal"
)

func TestTexts(t *testing.T) {
	for got, want := range map[string]string{
		terminal.Human(0): "0s", terminal.Human(-90 * time.Second): "-1m 30s", terminal.Human(76 * time.Hour): "3d 4h",
		terminal.Human(420 * time.Millisecond): "420ms", terminal.Human(59*time.Second + 999*time.Millisecond): "59s",
		terminal.Human(12*time.Minute + 3*time.Second): "12m 3s", terminal.Human(time.Hour + 59*time.Second): "1h", terminal.Human(400 * 24 * time.Hour): "400d",
		terminal.Bytes(17): "17 B", terminal.Bytes(4200): "4.1 KiB", terminal.Bytes(64 << 30): "64 GiB", terminal.Bytes(1 << 60): "1048576 TiB",
		terminal.Short("0123456789", 5):        "0123…",
		terminal.Clean("a\x1b]0;x\a\nb\u202e"): "a·]0;x· b·",
		terminal.Plural(1, "message"):          "1 message", terminal.Plural(0, "message"): "0 messages",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestTable(t *testing.T) {
	var table terminal.Table
	table.Head("NAME", "STATE")
	table.Row("a\tlong one", "ready")[1].Color = terminal.Green
	table.Row("é", "")
	var plain, painted strings.Builder
	if err := table.Write(&plain, false); err != nil {
		t.Fatal(err)
	}
	if err := table.Write(&painted, true); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff("NAME        STATE\na long one  ready\né\n", plain.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if !strings.Contains(painted.String(), "\x1b[32mready\x1b[0m") {
		t.Errorf("no colour: %q", painted.String())
	}
}
