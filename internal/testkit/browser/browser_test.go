package browser

import (
	"bytes"
	"context"
	"image"
	"image/color"
	_ "image/png"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/colliehq/collie/internal/testkit/faketarget"
	"github.com/colliehq/collie/internal/testkit/need"
)

const page = `<!doctype html><title>flock</title><link rel=icon href=data:,>
<style>body{margin:0;background:#fff}@media(prefers-color-scheme:dark){body{background:#123456}}#w{width:600px;height:3000px}</style>
<div id=w>hello <a href=/x>link</a></div><noscript>no script</noscript><script>document.body.append("scripted");console.error("oh");missing()</script>`

func TestTake(t *testing.T) {
	need.Program(t, "chromium")
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	site, err := faketarget.StartHTTP(0, http.StatusOK, page)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = site.Stop() })
	b, err := Start(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, tt := range []struct {
		name          string
		shot          Shot
		width, height int
		background    color.RGBA
		text, not     string
		overflow      bool
		problems      int
	}{
		{"desktop, light", Shot{WindowOnly: true}, 1280, 800, color.RGBA{255, 255, 255, 255}, "scripted", "no script", false, 2},
		{"phone, dark, no script", Shot{Width: 390, Height: 844, Dark: true, NoJavaScript: true, WindowOnly: true}, 390, 844, color.RGBA{0x12, 0x34, 0x56, 255}, "no script", "scripted", true, 0},
		{"the whole page", Shot{NoJavaScript: true}, 1280, 3000, color.RGBA{255, 255, 255, 255}, "hello", "scripted", false, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.shot.URL = site.URL()
			seen, err := b.Take(ctx, tt.shot)
			if err != nil {
				t.Fatal(err)
			}
			img, _, err := image.Decode(bytes.NewReader(seen.PNG))
			if err != nil {
				t.Fatal(err)
			}
			if got := img.Bounds().Size(); got.X != tt.width || got.Y < tt.height || got.Y > tt.height+100 {
				t.Errorf("size %v, want %d by %d", got, tt.width, tt.height)
			}
			if got := color.RGBAModel.Convert(img.At(tt.width-1, 700)); got != tt.background {
				t.Errorf("background %v, want %v", got, tt.background)
			}
			if !strings.Contains(seen.Text, tt.text) || strings.Contains(seen.Text, tt.not) {
				t.Errorf("text %q", seen.Text)
			}
			if seen.Overflow != tt.overflow || len(seen.Problems) != tt.problems {
				t.Errorf("overflow %v, problems %q", seen.Overflow, seen.Problems)
			}
		})
	}
	seen, err := b.Take(ctx, Shot{URL: site.URL(), Keys: []string{"\t"}, NoJavaScript: true})
	if err != nil || seen.Focus != `<a href="/x">link</a>` || seen.Title != "flock" || seen.Status != http.StatusOK {
		t.Errorf("focus %q, title %q, status %d, %v", seen.Focus, seen.Title, seen.Status, err)
	}
	site.Answer(http.StatusNotFound, "gone")
	if seen, err := b.Take(ctx, Shot{URL: site.URL()}); err != nil || seen.Status != http.StatusNotFound || !strings.Contains(strings.Join(seen.Problems, "\n"), "404") {
		t.Errorf("status %d, problems %q, %v", seen.Status, seen.Problems, err)
	}
	if err := site.Stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Take(ctx, Shot{URL: site.URL()}); err == nil || !strings.Contains(err.Error(), "ERR_CONNECTION_REFUSED") {
		t.Errorf("stopped server: %v", err)
	}
}
