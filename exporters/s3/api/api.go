// Package api speaks the part of the S3 protocol that tells what is in a bucket
// and tries it out: the three listings, the state of versioning, and put, get
// and delete of one object.
//
// Requests are signed by minio-go's signer. Answers are read by a scanner of our
// own: what a listing costs is its XML, and it is read a thousand keys at a
// time, for years.
package api

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/minio/minio-go/v7/pkg/s3utils"
	"github.com/minio/minio-go/v7/pkg/signer"
)

// Credentials sign requests. Without keys requests are anonymous.
type Credentials struct{ AccessKey, SecretKey, SessionToken string }

// Client asks about one bucket.
type Client struct {
	Endpoint    *url.URL // scheme and host; a path is put before the bucket's
	Bucket      string
	Region      string
	VirtualHost bool // the bucket is a part of the host name
	Credentials func() (Credentials, error)
	HTTP        *http.Client    // must not follow redirects
	Received    func(bytes int) // told the size of each answer; nil for nobody
}

// Bounds on what an answer may be.
const (
	maxListing = 8 << 20 // 1000 keys of 1024 bytes, each byte written as three, and what stands beside them
	maxError   = 64 << 10
	maxObject  = 1 << 20 // only our own small objects are read
)

// emptyHash is the SHA-256 of nothing.
const emptyHash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// Listing names one of the three listings.
type Listing int

// The listings.
const (
	Objects  Listing = iota // ListObjectsV2: the current objects
	Versions                // ListObjectVersions: these, older versions and delete markers
	Uploads                 // ListMultipartUploads: uploads that were begun and not completed
)

// Query asks for one page of a listing.
type Query struct {
	Listing Listing
	Prefix  string // only keys that begin so
	After   string // only keys after this one, in the order of their bytes
	Mark    string // version or upload id: and of that key what follows this; empty: nothing
	Token   string // ListObjectsV2's own, instead of After, where a page told no key
	Max     int    // entries of the page; 0 means the server's limit, 1000
}

func (q Query) values() url.Values {
	v := url.Values{"encoding-type": {"url"}}
	set := func(name, value string) {
		if value != "" {
			v.Set(name, value)
		}
	}
	set("prefix", q.Prefix)
	maximum := "max-keys"
	switch q.Listing {
	case Objects:
		v.Set("list-type", "2")
		if set("continuation-token", q.Token); q.Token == "" {
			set("start-after", q.After)
		}
	case Versions:
		v.Set("versions", "")
		set("key-marker", q.After)
		set("version-id-marker", q.Mark)
	case Uploads:
		v.Set("uploads", "")
		set("key-marker", q.After)
		set("upload-id-marker", q.Mark)
		maximum = "max-uploads"
	}
	if q.Max > 0 {
		v.Set(maximum, strconv.Itoa(q.Max))
	}
	return v
}

// List reads one page into p, whose memory it uses again. An error of the
// server is an *Error; an answer that is no listing wraps ErrProtocol.
func (c *Client) List(ctx context.Context, q Query, p *Page) error {
	resp, err := c.do(ctx, http.MethodGet, "", q.values(), nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close() //nolint:errcheck // it was read
	if resp.StatusCode != http.StatusOK {
		return c.refusal(resp)
	}
	if p.body, err = readInto(p.body[:0], resp.Body, maxListing); err != nil {
		return err
	}
	c.received(len(p.body))
	return p.parse(q.Listing)
}

// Versioning is whether the bucket keeps older versions: "enabled",
// "suspended", or "off" if it never did.
func (c *Client) Versioning(ctx context.Context) (string, error) {
	body, _, err := c.small(ctx, http.MethodGet, "", url.Values{"versioning": {""}}, nil, maxError)
	if err != nil {
		return "", err
	}
	status := "off"
	root, err := walk(body, func(path string, text []byte) error {
		if path == "/VersioningConfiguration/Status" {
			status = strings.ToLower(string(text))
		}
		return nil
	})
	switch {
	case err != nil:
		return "", err
	case root != "VersioningConfiguration" || status != "off" && status != "enabled" && status != "suspended":
		return "", fmt.Errorf("%w: this is not the state of versioning", ErrProtocol)
	}
	return status, nil
}

// Parts is the size of what was uploaded so far of an unfinished upload, as far
// as one page of 1000 parts tells.
func (c *Client) Parts(ctx context.Context, key, upload string) (bytes int64, err error) {
	body, _, err := c.small(ctx, http.MethodGet, key, url.Values{"uploadId": {upload}}, nil, maxListing)
	if err != nil {
		return 0, err
	}
	root, err := walk(body, func(path string, text []byte) error {
		if path != "/ListPartsResult/Part/Size" {
			return nil
		}
		n, err := number(text)
		bytes += n
		return err
	})
	if err == nil && root != "ListPartsResult" {
		err = fmt.Errorf("%w: this is not a list of parts", ErrProtocol)
	}
	return bytes, err
}

// Put writes an object and returns its version, empty where there are none.
func (c *Client) Put(ctx context.Context, key string, body []byte) (version string, err error) {
	_, header, err := c.small(ctx, http.MethodPut, key, nil, body, maxError)
	return header.Get("X-Amz-Version-Id"), err
}

// Get reads a small object.
func (c *Client) Get(ctx context.Context, key string) ([]byte, error) {
	body, _, err := c.small(ctx, http.MethodGet, key, nil, nil, maxObject)
	return body, err
}

// Delete removes a version of an object, or the object if version is empty.
// What is not there is no error.
func (c *Client) Delete(ctx context.Context, key, version string) error {
	v := url.Values{}
	if version != "" {
		v.Set("versionId", version)
	}
	_, _, err := c.small(ctx, http.MethodDelete, key, v, nil, maxError)
	var refused *Error
	if errors.As(err, &refused) && refused.Code == "NoSuchKey" {
		return nil
	}
	return err
}

// small makes a request whose whole answer is kept.
func (c *Client) small(ctx context.Context, method, key string, query url.Values, body []byte, limit int) ([]byte, http.Header, error) {
	resp, err := c.do(ctx, method, key, query, body)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close() //nolint:errcheck // it was read
	if resp.StatusCode >= 300 {
		return nil, resp.Header, c.refusal(resp)
	}
	answer, err := readInto(nil, resp.Body, limit)
	c.received(len(answer))
	return answer, resp.Header, err
}

func (c *Client) do(ctx context.Context, method, key string, query url.Values, body []byte) (*http.Response, error) {
	credentials, err := c.Credentials()
	if err != nil {
		return nil, &CredentialsError{Cause: err}
	}
	var reader io.Reader = http.NoBody
	hash := emptyHash
	if len(body) > 0 {
		reader = strings.NewReader(string(body))
		sum := sha256.Sum256(body)
		hash = hex.EncodeToString(sum[:])
	}
	r, err := http.NewRequestWithContext(ctx, method, c.address(key, query), reader)
	if err != nil {
		return nil, fmt.Errorf("%w: %s", ErrProtocol, err.Error())
	}
	r.Header.Set("User-Agent", "Collie")
	r.Header.Set("X-Amz-Content-Sha256", hash)
	signed := signer.SignV4(*r, credentials.AccessKey, credentials.SecretKey, credentials.SessionToken, c.Region)
	return c.HTTP.Do(signed)
}

// address is the URL of a key, or of the bucket.
func (c *Client) address(key string, query url.Values) string {
	u := url.URL{Scheme: c.Endpoint.Scheme, Host: c.Endpoint.Host}
	path := strings.TrimSuffix(c.Endpoint.Path, "/") + "/"
	if c.VirtualHost {
		u.Host = c.Bucket + "." + u.Host
	} else {
		path += c.Bucket
		if key != "" {
			path += "/"
		}
	}
	u.Path = path + key
	u.RawPath = s3utils.EncodePath(u.Path)
	u.RawQuery = s3utils.QueryEncode(query)
	return u.String()
}

func (c *Client) received(n int) {
	if c.Received != nil {
		c.Received(n)
	}
}

// readInto appends what r has to buf, at most limit bytes.
func readInto(buf []byte, r io.Reader, limit int) ([]byte, error) {
	for {
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
		n, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		switch {
		case len(buf) > limit:
			return buf[:0], fmt.Errorf("%w: the answer has more than %d bytes", ErrProtocol, limit)
		case errors.Is(err, io.EOF):
			return buf, nil
		case err != nil:
			return buf[:0], err
		}
	}
}
