package api

import (
	"bytes"
	"slices"
	"time"
)

// Class is what an entry of a listing is.
type Class byte

// The classes.
const (
	Current Class = iota // an object, or its latest version
	Older                // a version that is not the latest
	Marker               // a delete marker
	Upload               // an unfinished upload
)

// Entry is one line of a listing. Its bytes are the page's: they hold until the
// page is used again.
type Entry struct {
	Key   []byte
	ID    []byte // of the version or upload; empty for an object of ListObjectsV2
	Size  int64  // bytes; 0 for markers and uploads
	At    int64  // when it was written or begun, Unix seconds; 0 if the server does not say
	Class Class
}

// Page is one answer of a listing.
type Page struct {
	Entries   []Entry
	Truncated bool   // there is more
	Token     string // ListObjectsV2's, to go on after an empty page
	NextKey   string // the other listings' markers: the last key of the page,
	NextMark  string // and its last version or upload

	body []byte
}

// Bounds on a page, some times above what S3 has: keys of 1024 bytes, each of
// which may be sent as three, and 1000 to a page.
const (
	maxKey     = 4096
	maxEntries = 10_000
)

// reading is a page while it is read.
type reading struct {
	page    *Page
	listing Listing
	urls    bool // keys are percent-encoded
	entry   Entry
	latest  bool
	bounds  []byte // NextKeyMarker as it came
}

// shape is how the document of a listing is named.
func (l Listing) shape() (root, entry string) {
	switch l {
	case Versions:
		return "ListVersionsResult", "Version"
	case Uploads:
		return "ListMultipartUploadsResult", "Upload"
	default:
		return "ListBucketResult", "Contents"
	}
}

// parse reads the body that the page holds.
func (p *Page) parse(l Listing) error {
	p.Entries, p.Truncated, p.Token, p.NextKey, p.NextMark = p.Entries[:0], false, "", "", ""
	root, entry := l.shape()
	r := reading{page: p, listing: l}
	s := scanner{rest: p.body}
	if err := s.prologue(); err != nil {
		return err
	}
	name, closed, err := s.open()
	if err != nil {
		return err
	}
	if string(name) != root {
		return broken("it is a %s, not a %s", clip(string(name)), root)
	}
	document := name
	for !closed {
		name, kind, err := s.child(document)
		switch {
		case err != nil:
			return err
		case kind == end:
			closed = true
		case kind == empty:
		case string(name) == entry || l == Versions && string(name) == "DeleteMarker":
			if err := r.readEntry(&s, name); err != nil {
				return err
			}
		default:
			if err := r.readHead(&s, name); err != nil {
				return err
			}
		}
	}
	if err := s.epilogue(); err != nil {
		return err
	}
	return r.finish()
}

// readHead reads an element beside the entries.
func (r *reading) readHead(s *scanner, name []byte) error {
	text, err := s.text(name)
	if err != nil {
		return err
	}
	switch string(name) {
	case "IsTruncated":
		switch string(bytes.TrimSpace(text)) {
		case "true":
			r.page.Truncated = true
		case "false":
		default:
			return broken("IsTruncated is %q", clip(string(text)))
		}
	case "EncodingType":
		r.urls = string(text) == "url"
	case "NextContinuationToken":
		if len(text) > 2*maxKey {
			return broken("a token has %d bytes", len(text))
		}
		r.page.Token = string(text)
	case "NextKeyMarker":
		r.bounds = text
	case "NextVersionIdMarker", "NextUploadIdMarker":
		r.page.NextMark = string(text)
	}
	return nil
}

// readEntry reads what is in a Contents, Version, DeleteMarker or Upload.
func (r *reading) readEntry(s *scanner, element []byte) error {
	r.entry, r.latest = Entry{}, true
	for {
		name, kind, err := s.child(element)
		switch {
		case err != nil:
			return err
		case kind == end:
			return r.keep(string(element) == "DeleteMarker")
		case kind == empty:
			continue
		}
		if err := r.readField(s, name); err != nil {
			return err
		}
	}
}

func (r *reading) readField(s *scanner, name []byte) error {
	if !wanted(name) {
		_, _, err := s.raw(name)
		return err
	}
	text, err := s.text(name)
	if err != nil {
		return err
	}
	switch string(name) {
	case "Key":
		r.entry.Key = text
	case "Size":
		r.entry.Size, err = number(text)
	case "LastModified", "Initiated":
		r.entry.At, err = moment(text)
	case "VersionId", "UploadId":
		r.entry.ID = text
	case "IsLatest":
		r.latest = string(text) == "true"
	}
	return err
}

func wanted(name []byte) bool {
	switch string(name) {
	case "Key", "Size", "LastModified", "Initiated", "VersionId", "UploadId", "IsLatest":
		return true
	}
	return false
}

func (r *reading) keep(marker bool) error {
	e := r.entry
	switch {
	case len(e.Key) == 0:
		return broken("an entry has no key")
	case len(e.Key) > 3*maxKey || len(e.ID) > maxKey:
		return broken("a key or the id of a version has more bytes than there can be")
	case len(r.page.Entries) == maxEntries:
		return broken("a page has more than %d entries", maxEntries)
	case r.listing == Uploads:
		e.Class, e.Size = Upload, 0
	case marker:
		e.Class, e.Size = Marker, 0
	case !r.latest:
		e.Class = Older
	}
	r.page.Entries = append(r.page.Entries, e)
	return nil
}

// finish decodes the keys, now that the whole page was read: how they are
// encoded may stand behind them.
func (r *reading) finish() error {
	r.page.NextKey = string(r.bounds)
	if r.urls {
		if err := r.unescape(); err != nil {
			return err
		}
	}
	byKey := func(a, b Entry) int { return bytes.Compare(a.Key, b.Key) }
	if r.listing == Versions && !slices.IsSortedFunc(r.page.Entries, byKey) {
		slices.SortStableFunc(r.page.Entries, byKey) // some servers tell delete markers behind all versions
	}
	return nil
}

func (r *reading) unescape() (err error) {
	for i := range r.page.Entries {
		e := &r.page.Entries[i]
		if e.Key, err = unescape(e.Key); err != nil {
			return err
		}
	}
	next, err := unescape(r.bounds)
	r.page.NextKey = string(next)
	return err
}

// unescape decodes a key that was sent with encoding-type=url, where it stands.
func unescape(key []byte) ([]byte, error) {
	if bytes.IndexByte(key, '%') < 0 && bytes.IndexByte(key, '+') < 0 {
		return key, nil
	}
	out := key[:0]
	for i := 0; i < len(key); i++ {
		switch c := key[i]; c {
		case '+':
			out = append(out, ' ')
		case '%':
			if i+2 >= len(key) || digit(key[i+1]) > 15 || digit(key[i+2]) > 15 {
				return nil, broken("the key %q is not encoded as it says", clip(string(key)))
			}
			out = append(out, byte(digit(key[i+1])<<4|digit(key[i+2])))
			i += 2
		default:
			out = append(out, c)
		}
	}
	return out, nil
}

// number reads a size.
func number(text []byte) (int64, error) {
	text = bytes.TrimSpace(text)
	if len(text) == 0 || len(text) > 18 {
		return 0, broken("%q is not a size", clip(string(text)))
	}
	var n int64
	for _, c := range text {
		if c < '0' || c > '9' {
			return 0, broken("%q is not a size", clip(string(text)))
		}
		n = n*10 + int64(c-'0')
	}
	return n, nil
}

// moment reads a time as S3 writes it, 2026-11-22T19:00:00.000Z, in Unix
// seconds.
func moment(text []byte) (int64, error) {
	var t time.Time
	if err := t.UnmarshalText(bytes.TrimSpace(text)); err != nil {
		return 0, broken("%q is not a time", clip(string(text)))
	}
	return t.Unix(), nil
}
