package nfs

import (
	"context"
	"testing"
	"time"

	"github.com/colliehq/collie/exporters/nfs/xdr"
)

// FuzzAnswers reads any bytes as the results of each procedure.
func FuzzAnswers(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{0, 0, 0, 1, 0, 1, 134, 163, 0, 0, 0, 3, 0, 0, 0, 6, 0, 0, 8, 1, 0, 0, 0, 0})
	f.Add([]byte{0, 0, 0, 1, 0, 0, 0, 2, '/', 'e', 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, '*', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Add([]byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 24, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0xe0, 0, 0, 0, 0, 0x1c, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		if list, err := readDump(xdr.NewDecoder(b)); err == nil && len(list)*20 > len(b) {
			t.Errorf("%d programs in %d bytes", len(list), len(b))
		}
		if list, err := readExports(xdr.NewDecoder(b)); err == nil && len(list.paths)*12 > len(b) {
			t.Errorf("%d exports in %d bytes", len(list.paths), len(b))
		}
		if handle, err := readMnt(xdr.NewDecoder(b)); err == nil && (len(handle) == 0 || len(handle) > maxHandle) {
			t.Errorf("a handle of %d bytes", len(handle))
		}
		_, _ = readFSStat(xdr.NewDecoder(b))
		c := newCompound(0)
		c.sizeOf([]string{"e"})
		if r, err := readCompound(xdr.NewDecoder(b), c); err == nil {
			_, _ = r.readSize()
		}
	})
}

// FuzzTarget reads any text as a target: what is accepted has a host, and a
// path that every version can ask for.
func FuzzTarget(f *testing.F) {
	for _, text := range []string{"h", "h:1", "h:/p", "h:1:/p", "[::1]:/p", "::1", "[fe80::1%eth0]:2049", "h:/a/../b", ":/p"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := parseTarget(text)
		if err != nil {
			return
		}
		if _, err := splitPath(got.path); got.host == "" || got.path != "" && err != nil {
			t.Errorf("%q is read as %+v, %v", text, got, err)
		}
	})
}

func TestParseTarget(t *testing.T) {
	for text, want := range map[string]target{
		"nas":                    {host: "nas"},
		"nas:2050":               {host: "nas", port: 2050},
		"nas:/srv/builds":        {host: "nas", path: "/srv/builds"},
		"nas:2050:/srv/builds":   {host: "nas", port: 2050, path: "/srv/builds"},
		"nas:/with:colon":        {host: "nas", path: "/with:colon"},
		"nas:/with space":        {host: "nas", path: "/with space"},
		"192.0.2.1:/e":           {host: "192.0.2.1", path: "/e"},
		"2001:db8::1":            {host: "2001:db8::1"},
		"[2001:db8::1]":          {host: "2001:db8::1"},
		"[2001:db8::1]:2050":     {host: "2001:db8::1", port: 2050},
		"[2001:db8::1]:/e":       {host: "2001:db8::1", path: "/e"},
		"[fe80::1%eth0]:2050:/e": {host: "fe80::1%eth0", port: 2050, path: "/e"},
		"":                       {},
		"nas:":                   {},
		":/e":                    {},
		"nas:0":                  {},
		"nas:65536":              {},
		"nas:port:/e":            {},
		"nas:2049:":              {},
		"nas:2049:e":             {},
		"nas/e":                  {},
		"nas:/a/../b":            {},
		"[nas]:/e":               {},
		"[::1":                   {},
		"[::1]/e":                {},
		"2001:db8::1:/e":         {},
		"nas:/\x00":              {},
	} {
		got, err := parseTarget(text)
		if (err != nil) != (want == target{}) || err == nil && got != want {
			t.Errorf("%q is read as %+v, %v; want %+v", text, got, err, want)
		}
	}
}

// TestNeverBeyondTheDeadline: what is kept back for cleaning up is a part of
// the time that was given.
func TestNeverBeyondTheDeadline(t *testing.T) {
	for _, limit := range []time.Duration{100 * time.Millisecond, time.Second, 5 * time.Second, time.Minute} {
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		work, reserve, done := shared(ctx)
		deadline, _ := ctx.Deadline()
		if until, _ := work.Deadline(); until.Add(reserve).After(deadline) || reserve > limit/2 {
			t.Errorf("of %s, work until %s before the end and %s are kept back", limit, deadline.Sub(until), reserve)
		}
		done()
		cancel()
	}
}
