package beaker

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Bounds on XML from outside. encoding/xml expands no entities of a document
// type; a document that declares one is refused, since Beaker sends none.
const (
	maxDepth = 32
	maxTitle = 255 // of a system, which is a host name
)

// element is called for each element with its text, once it ends; path is its
// name and those around it, as in "feed/entry/title".
type element func(path, text string)

// walk reads XML to its end.
func walk(r io.Reader, each element) error {
	d := xml.NewDecoder(r)
	var path []string
	var text strings.Builder
	for {
		token, err := d.RawToken()
		if errors.Is(err, io.EOF) {
			return closed(path)
		}
		if err != nil {
			return err
		}
		switch t := token.(type) {
		case xml.Directive:
			return errors.New("it declares a document type, which Beaker never does")
		case xml.StartElement:
			if len(path) == maxDepth {
				return fmt.Errorf("its elements are nested more than %d deep", maxDepth)
			}
			path = append(path, t.Name.Local)
			text.Reset()
		case xml.EndElement:
			if len(path) == 0 || path[len(path)-1] != t.Name.Local {
				return fmt.Errorf("</%.40s> ends nothing", t.Name.Local)
			}
			each(strings.Join(path, "/"), text.String())
			path = path[:len(path)-1]
			text.Reset()
		case xml.CharData:
			if text.Len() < maxTitle*4 {
				text.Write(t)
			}
		}
	}
}

func closed(path []string) error {
	if len(path) > 0 {
		return io.ErrUnexpectedEOF
	}
	return nil
}

// parseFeed counts the entries of a feed of systems (RFC 4287; Beaker's
// templates/systems_feed.kid) and gives the names of the first limit ones.
func parseFeed(r io.Reader, limit int) (entries int, names []string, err error) {
	isFeed := false
	err = walk(r, func(path, text string) {
		switch path {
		case "feed":
			isFeed = true
		case "feed/entry":
			entries++
		case "feed/entry/title":
			if name := strings.TrimSpace(text); len(names) < limit && isHost(name) {
				names = append(names, name)
			}
		}
	})
	if err == nil && !isFeed {
		err = errors.New("it is no Atom feed")
	}
	return entries, names, err
}

// isHost tells whether the text can be the name of a system, which becomes a
// part of a URL and a label.
func isHost(s string) bool {
	return s != "" && len(s) <= maxTitle && !strings.ContainsFunc(s, unfit) && !strings.Contains(s, ":") && strings.Trim(s, ".") != ""
}
