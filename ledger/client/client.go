// Package client is what `collie status`, `collie downtimes` and `collie why`
// do: it asks a running Collie over HTTP and writes for people, or for
// programs.
package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/colliehq/collie/internal/secret"
	"github.com/colliehq/collie/internal/terminal"
)

const (
	apiPath   = "/api/collie/v1/"
	maxAnswer = 256 << 20 // bytes of one answer that are read
	pageSize  = "1000"
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

type envelope[T any] struct {
	Status string `json:"status"`
	Data   T      `json:"data"`
	Next   string `json:"next"`
	Error  string `json:"error"`
}

// get asks for one answer. Parameters are name, value, name, value; empty ones
// are left out.
func get[T any](ctx context.Context, c *Client, path string, params ...string) (envelope[T], error) {
	var e envelope[T]
	where, err := c.address(path, params)
	if err != nil {
		return e, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, where, nil)
	if err != nil {
		return e, fmt.Errorf("--url %s: %w", c.shown(), err)
	}
	req.Header.Set("Accept", "application/json")
	resp, err := c.HTTP.Do(req)
	if err != nil {
		return e, c.unreachable(ctx, err)
	}
	defer func() { _ = resp.Body.Close() }() // all of it was read, or it is of no use
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return e, c.unreachable(ctx, err)
	}
	if resp.StatusCode == http.StatusUnauthorized {
		return e, fmt.Errorf("%s wants a user and a password; write them into COLLIE_URL, as http://USER:PASSWORD@localhost:9797", c.shown())
	}
	if err := json.Unmarshal(raw, &e); err != nil || e.Status == "" {
		return e, fmt.Errorf("%s answered %q, but not as Collie does; does --url point to Collie?", c.shown(), resp.Status)
	}
	if e.Status != "success" {
		return e, errors.New(terminal.Clean(e.Error))
	}
	return e, nil
}

func (c *Client) address(path string, params []string) (string, error) {
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
	base.Path = strings.TrimSuffix(base.Path, "/") + apiPath + path
	base.RawQuery = q.Encode()
	return base.String(), nil
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

// all asks for page after page.
func all[T any](ctx context.Context, c *Client, path string, params ...string) ([]T, error) {
	items := []T{}
	for next := ""; ; {
		e, err := get[[]T](ctx, c, path, append(slices.Clone(params), "limit", pageSize, "cursor", next)...)
		if err != nil {
			return nil, err
		}
		items = append(items, e.Data...)
		if next = e.Next; next == "" {
			return items, nil
		}
	}
}

// The ways to write an answer.
const (
	Table = "table"
	Text  = "text"
	JSON  = "json"
	CSV   = "csv"
)

// output checks what was asked for; the first of the list is the default.
func output(asked string, list ...string) (string, error) {
	switch {
	case asked == "":
		return list[0], nil
	case slices.Contains(list, asked):
		return asked, nil
	}
	return "", fmt.Errorf("--output %q is not one of %s", asked, strings.Join(list, ", "))
}

func writeJSON(w io.Writer, v any) error {
	raw, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("write JSON: %w", err)
	}
	_, err = w.Write(append(raw, '\n'))
	return err
}
