package alerting

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
)

func TestQuiet(t *testing.T) {
	for level, want := range map[slog.Level]string{slog.LevelInfo: "level=WARN msg=c x=1\n", slog.LevelDebug: "level=DEBUG msg=a x=1\nlevel=DEBUG msg=b x=1\nlevel=WARN msg=c x=1\n"} {
		var out bytes.Buffer
		log := quietly(slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: level, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}}))).With("x", 1)
		log.Debug("a")
		log.Info("b")
		log.Warn("c")
		if got := out.String(); got != want {
			t.Errorf("at %s:\n%swant:\n%s", level, strings.TrimSpace(got), want)
		}
	}
}
