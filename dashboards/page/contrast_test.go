package page_test

import (
	"fmt"
	"maps"
	"math"
	"os"
	"regexp"
	"strconv"
	"testing"
)

// TestContrast computes the contrast of every pair of colours that meet, from
// the style sheet, in both schemes (WCAG 2.2, 1.4.3 and 1.4.11).
func TestContrast(t *testing.T) {
	const text, graphic = 4.5, 3.0
	states := []string{"up", "degraded", "suspect", "down", "unreachable", "unknown", "maintenance"}
	tinted := []string{"down-bg", "warn-bg", "unknown-bg", "up-bg"}
	for name, colours := range schemes(t) {
		meet := func(least float64, front string, backs ...string) {
			for _, back := range backs {
				if got := contrast(t, colours, front, back); got < least {
					t.Errorf("%s: --%s on --%s has a contrast of %.2f, want %.1f", name, front, back, got, least)
				}
			}
		}
		meet(text, "text", append(tinted, "bg", "raised", "tag")...)
		meet(text, "dim", "bg", "raised", "tag")
		meet(text, "link", append(tinted, "bg", "raised")...)
		for _, s := range states {
			meet(text, s, "bg", "raised")
			meet(graphic, s, tinted...)
		}
		meet(graphic, "bar-up", "bg")
		meet(graphic, "bar-unknown", "bg")
		meet(graphic, "field", "bg", "raised")
		meet(graphic, "focus", append(tinted, "bg", "raised", "tag")...)
	}
}

// schemes are the colours of the first :root block, and those with what the
// dark one changes.
func schemes(t *testing.T) map[string]map[string]string {
	t.Helper()
	css, err := os.ReadFile("assets/page.css")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile(`:root \{([^}]*)\}`).FindAllSubmatch(css, -1)
	if len(blocks) < 2 {
		t.Fatal("the style sheet does not begin with two :root blocks")
	}
	read := func(block []byte) map[string]string {
		found := map[string]string{}
		for _, m := range regexp.MustCompile(`--([a-z-]+): (#[0-9a-f]{6});`).FindAllSubmatch(block, -1) {
			found[string(m[1])] = string(m[2])
		}
		return found
	}
	light := read(blocks[0][1])
	dark := maps.Clone(light)
	changed := read(blocks[1][1])
	maps.Copy(dark, changed)
	if len(changed) != len(light) {
		t.Errorf("the dark scheme sets %d colours, the light one %d", len(changed), len(light))
	}
	return map[string]map[string]string{"light": light, "dark": dark}
}

func contrast(t *testing.T, colours map[string]string, a, b string) float64 {
	t.Helper()
	la, lb := luminance(t, colours[a]), luminance(t, colours[b])
	return (max(la, lb) + 0.05) / (min(la, lb) + 0.05)
}

// luminance is the relative luminance as WCAG defines it.
func luminance(t *testing.T, hex string) float64 {
	t.Helper()
	if len(hex) != 7 {
		t.Fatalf("colour %q is not #rrggbb", hex)
	}
	sum := 0.0
	for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
		v, err := strconv.ParseUint(hex[1+2*i:3+2*i], 16, 8)
		if err != nil {
			t.Fatal(fmt.Errorf("colour %q: %w", hex, err))
		}
		c := float64(v) / 255
		if c <= 0.04045 {
			c /= 12.92
		} else {
			c = math.Pow((c+0.055)/1.055, 2.4)
		}
		sum += weight * c
	}
	return sum
}
