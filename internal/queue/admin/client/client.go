// Package client is what `collie queue` does: it asks a running Collie over
// HTTP and writes for people, or for programs.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/colliehq/collie/internal/queue/admin"
	"github.com/colliehq/collie/internal/secret"
	"github.com/colliehq/collie/internal/terminal"
)

const maxAnswer = 1 << 30 // bytes of one answer that are read

// The ways to write an answer.
const (
	Table = "table"
	JSON  = "json"
)

// Client asks the Collie at URL.
type Client struct {
	URL   string // "http://localhost:9797", with the path of a proxy if there is one
	HTTP  *http.Client
	Color bool           // the writer is a terminal that shows colours
	Now   time.Time      // for "how long since"; zero means now
	Zone  *time.Location // of the times that people read; nil means local time
}

func (c *Client) now() time.Time {
	if c.Now.IsZero() {
		return time.Now()
	}
	return c.Now
}

// shown is the address for people: without the password.
func (c *Client) shown() string { return secret.URLs(c.URL) }

func (c *Client) clock(t time.Time) string {
	zone := c.Zone
	if zone == nil {
		zone = time.Local //nolint:gosmopolitan // people read the time of their wall clock
	}
	return t.In(zone).Format(time.DateTime)
}

// address of a route; parameters are name, value, name, value, and empty ones
// are left out.
func (c *Client) address(path []string, params ...string) (string, error) {
	base, err := url.Parse(c.URL)
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" {
		return "", fmt.Errorf("--url %q is not an address; write one as http://localhost:9797", c.shown())
	}
	q := url.Values{}
	for pair := range slices.Chunk(params, 2) {
		if pair[1] != "" {
			q.Set(pair[0], pair[1])
		}
	}
	base = base.JoinPath(admin.Path)
	for _, segment := range path {
		base = base.JoinPath(url.PathEscape(segment))
	}
	base.RawQuery = q.Encode()
	return base.String(), nil
}

// do sends a request; the caller closes the body of the answer.
func (c *Client) do(ctx context.Context, method, where string, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, where, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("--url %s: %w", c.shown(), err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.HTTP.Do(req)
	if err != nil {
		return nil, c.unreachable(ctx, err)
	}
	if resp.StatusCode == http.StatusUnauthorized {
		_ = resp.Body.Close() // it says no more than the status
		return nil, fmt.Errorf("%s wants a user and a password; write them into COLLIE_URL, as http://USER:PASSWORD@localhost:9797", c.shown())
	}
	return resp, nil
}

func (c *Client) unreachable(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	if inner, ok := errors.AsType[*url.Error](err); ok {
		err = inner.Err // without the address, which is told anyhow
	}
	return fmt.Errorf("cannot reach Collie at %s: %w; is it running? use --url if it is elsewhere", c.shown(), err)
}

// ask sends a request and reads one wrapped answer.
func ask[T any](ctx context.Context, c *Client, method, where string, body []byte) (e admin.Envelope[T], err error) {
	resp, err := c.do(ctx, method, where, body)
	if err != nil {
		return e, err
	}
	defer func() { _ = resp.Body.Close() }() // all of it was read, or it is of no use
	return read[T](ctx, c, resp)
}

func read[T any](ctx context.Context, c *Client, resp *http.Response) (e admin.Envelope[T], err error) {
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return e, c.unreachable(ctx, err)
	}
	if err := json.Unmarshal(raw, &e); err != nil || e.Status == "" {
		return e, fmt.Errorf("%s answered %q, but not as Collie does; does --url point to Collie?", c.shown(), resp.Status)
	}
	if e.Status != "success" {
		return e, errors.New(terminal.Clean(e.Error))
	}
	return e, nil
}

func writeJSON(w io.Writer, v any) error {
	raw, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("write JSON: %w", err)
	}
	_, err = w.Write(append(raw, '\n'))
	return err
}

// Stats writes every subscription and how many messages stand where in it.
func (c *Client) Stats(ctx context.Context, w io.Writer, output string) error {
	where, err := c.address(nil)
	if err != nil {
		return err
	}
	e, err := ask[[]admin.Subscription](ctx, c, http.MethodGet, where, nil)
	if err != nil {
		return err
	}
	if output == JSON {
		return writeJSON(w, e.Data)
	}
	if err := c.statsTable(w, e.Data); err != nil {
		return err
	}
	for _, warning := range e.Warnings {
		if _, err := fmt.Fprintln(w, terminal.Paint(c.Color, terminal.Clean("not shown: "+warning), terminal.Red)); err != nil {
			return err
		}
	}
	return nil
}

func (c *Client) statsTable(w io.Writer, subs []admin.Subscription) error {
	if len(subs) == 0 {
		_, err := fmt.Fprintln(w, "nobody subscribed to anything")
		return err
	}
	var t terminal.Table
	t.Head("SUBSCRIPTION", "READY", "DELAYED", "LEASED", "PARKED", "SPILLED", "OLDEST", "TOPIC", "ENGINE")
	aside := 0
	for _, s := range subs {
		oldest := ""
		if s.OldestReady != nil {
			oldest = terminal.Human(max(c.now().Sub(*s.OldestReady), 0))
		}
		row := t.Row(s.Name, fmt.Sprint(s.Ready), fmt.Sprint(s.Delayed), fmt.Sprint(s.Leased), fmt.Sprint(s.Parked), fmt.Sprint(s.Spilled), oldest, s.Topic, s.Engine)
		if s.Parked > 0 {
			row[4].Color = terminal.Red
		}
		if s.Spilled > 0 {
			row[5].Color = terminal.Yellow
		}
		aside += s.Parked + s.Spilled
	}
	if err := t.Write(w, c.Color); err != nil || aside == 0 {
		return err
	}
	_, err := fmt.Fprintf(w, "\n%s set aside for a person; look at them with collie queue peek SUBSCRIPTION --state parked\n", terminal.Plural(aside, "message"))
	return err
}

// Redrive makes parked and spilled messages ready again, those with the keys or
// all, and writes how many.
func (c *Client) Redrive(ctx context.Context, w io.Writer, subscription string, keys []string, output string) error {
	where, err := c.address([]string{subscription, "redrive"})
	if err != nil {
		return err
	}
	body, err := json.Marshal(admin.Redrive{Keys: keys, All: len(keys) == 0})
	if err != nil {
		return fmt.Errorf("ask for a redrive: %w", err)
	}
	e, err := ask[admin.Redriven](ctx, c, http.MethodPost, where, body)
	if err != nil {
		return err
	}
	switch n := e.Data.Redriven; {
	case output == JSON:
		err = writeJSON(w, e.Data)
	case n == 0 && len(keys) > 0:
		return fmt.Errorf("no parked or spilled message of %s has such a key", subscription)
	default:
		_, err = fmt.Fprintf(w, "%s of %s ready again\n", terminal.Plural(n, "message"), subscription)
	}
	return err
}

// Export writes every message of a subscription as a line of JSON. An error
// means that what was written is not all.
func (c *Client) Export(ctx context.Context, w io.Writer, subscription, state string) error {
	where, err := c.address([]string{subscription, "export"}, "state", state)
	if err != nil {
		return err
	}
	resp, err := c.do(ctx, http.MethodGet, where, nil)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }() // the trailer tells whether it is all
	if resp.StatusCode != http.StatusOK {
		if _, err := read[any](ctx, c, resp); err != nil {
			return err
		}
		return fmt.Errorf("%s answered %q", c.shown(), resp.Status)
	}
	if _, err := io.Copy(w, resp.Body); err != nil {
		return fmt.Errorf("the export is not complete: %w", err)
	}
	if end := resp.Trailer.Get(admin.Trailer); end != "complete" {
		return fmt.Errorf("the export is not complete: %s", terminal.Clean(end))
	}
	return nil
}
