// Package browser looks at pages with a headless Chromium: it takes screenshots
// for people, and says what the browser complained about.
package browser

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// Shot says what to look at, and how. The zero value of all but URL is a
// desktop window in light mode.
type Shot struct {
	URL          string
	Width        int64 // in CSS pixels; 0: 1280. A phone has 390.
	Height       int64 // 0: 800
	Dark         bool
	NoJavaScript bool
	WindowOnly   bool     // only what fits into the window, not the whole page
	Keys         []string // pressed after the page was loaded: "\t", "\r", ...
}

// Seen is what came of it.
type Seen struct {
	PNG      []byte
	Status   int64    // of the answer that the page came with
	Title    string   // of the page
	Text     string   // what a person reads on the page
	Focus    string   // the HTML of the element that has the focus
	Overflow bool     // the page is wider than the window: a person must scroll sideways
	Problems []string // exceptions, errors on the console, and what could not be loaded
}

// Browser is a running Chromium with an empty profile.
type Browser struct {
	tab    context.Context //nolint:containedctx // chromedp's handle on the browser
	cancel func()
	dir    string
}

// Start starts a browser, which lives until Close or the end of ctx.
func Start(ctx context.Context) (*Browser, error) {
	dir, err := os.MkdirTemp("", "collie-browser-")
	if err != nil {
		return nil, fmt.Errorf("start a browser: %w", err)
	}
	allocator, end := chromedp.NewExecAllocator(ctx, flags(dir)...)
	tab, closeTab := chromedp.NewContext(allocator)
	b := &Browser{tab: tab, dir: dir, cancel: func() { closeTab(); end() }}
	if err := chromedp.Do(tab); err != nil {
		return nil, errors.Join(fmt.Errorf("start a browser: %w", err), b.Close())
	}
	return b, nil
}

// flags keep the browser quiet: it talks to nobody but the page's server.
func flags(dir string) []chromedp.ExecAllocatorOption {
	options := append(chromedp.DefaultExecAllocatorOptions[:len(chromedp.DefaultExecAllocatorOptions):len(chromedp.DefaultExecAllocatorOptions)],
		chromedp.UserDataDir(dir))
	for _, name := range []string{"no-sandbox", "disable-gpu", "disable-quic", "disable-component-update", "no-proxy-server", "hide-scrollbars", "mute-audio"} {
		options = append(options, chromedp.Flag(name, true))
	}
	return options
}

// Close ends the browser and removes its profile.
func (b *Browser) Close() error {
	err := chromedp.Cancel(b.tab)
	if errors.Is(err, context.Canceled) {
		err = nil // the context that it was started with has ended, and the browser with it
	}
	b.cancel()
	return errors.Join(err, os.RemoveAll(b.dir))
}

// Take loads a page in a tab of its own and takes the screenshot.
func (b *Browser) Take(ctx context.Context, s Shot) (Seen, error) {
	tab, closeTab := chromedp.NewContext(b.tab)
	defer closeTab()
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		tab, cancel = context.WithDeadline(tab, deadline)
		defer cancel()
	}
	stop := context.AfterFunc(ctx, closeTab)
	defer stop()
	seen, err := s.take(tab)
	if err != nil {
		return Seen{}, fmt.Errorf("look at %s: %w", s.URL, err)
	}
	return seen, nil
}

func (s Shot) take(tab context.Context) (seen Seen, err error) {
	heard := &complaints{}
	if err := chromedp.Listen(tab, heard.hear); err != nil {
		return seen, err
	}
	if err := s.prepare(tab); err != nil {
		return seen, err
	}
	answer, err := chromedp.Run(tab, chromedp.NavigateResponse(s.URL))
	if err != nil {
		return seen, err
	}
	if answer != nil {
		seen.Status = answer.Status
	}
	for _, key := range s.Keys {
		if err := chromedp.Do(tab, chromedp.KeyEvent(key)); err != nil {
			return seen, err
		}
	}
	if err := seen.read(tab); err != nil {
		return seen, err
	}
	capture := chromedp.FullScreenshot(100)
	if s.WindowOnly {
		capture = chromedp.CaptureScreenshot()
	}
	seen.PNG, err = chromedp.Run(tab, capture)
	seen.Problems = heard.all()
	return seen, err
}

// prepare makes the tab the window that s wants.
func (s Shot) prepare(tab context.Context) error {
	width, height, scheme := s.Width, s.Height, "light"
	if width == 0 {
		width = 1280
	}
	if height == 0 {
		height = 800
	}
	if s.Dark {
		scheme = "dark"
	}
	err := chromedp.Do(tab, chromedp.EmulateViewport(width, height))
	_, errMedia := chromedp.Call(tab, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
	})
	_, errScript := chromedp.Call(tab, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: s.NoJavaScript})
	_, errRuntime := chromedp.Call(tab, runtime.Enable, cdp.Empty{})
	_, errLog := chromedp.Call(tab, cdplog.Enable, cdp.Empty{})
	return errors.Join(err, errMedia, errScript, errRuntime, errLog)
}

// read asks the page what a person sees. It works without JavaScript of the
// page's own.
func (seen *Seen) read(tab context.Context) (err error) {
	for _, part := range []struct {
		expression string
		into       *string
	}{
		{"document.title", &seen.Title},
		{"document.body.innerText", &seen.Text},
		{"document.activeElement === document.body ? '' : document.activeElement.outerHTML", &seen.Focus},
	} {
		if *part.into, err = chromedp.Run(tab, chromedp.Evaluate[string](part.expression)); err != nil {
			return err
		}
	}
	seen.Overflow, err = chromedp.Run(tab, chromedp.Evaluate[bool]("document.documentElement.scrollWidth > document.documentElement.clientWidth"))
	return err
}
