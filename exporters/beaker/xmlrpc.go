package beaker

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// jobFilter is what jobs.filter is asked for
// (https://beaker-project.org/docs/server-api/xmlrpc.html#bkr.server.jobs.Jobs.filter).
type jobFilter struct {
	owner, group string // empty: of everybody
	limit        int
}

// call is the request, as XML-RPC (http://xmlrpc.com/spec.md).
func (f jobFilter) call() string {
	var b strings.Builder
	b.WriteString(xml.Header + "<methodCall><methodName>jobs.filter</methodName><params><param><value><struct>")
	member := func(name, value string) {
		b.WriteString("<member><name>" + name + "</name><value>" + value + "</value></member>")
	}
	member("is_finished", "<boolean>0</boolean>")
	member("limit", "<int>"+strconv.Itoa(f.limit)+"</int>")
	for name, value := range map[string]string{"owner": f.owner, "group": f.group} {
		if value == "" {
			continue
		}
		var text strings.Builder
		_ = xml.EscapeText(&text, []byte(value)) // a strings.Builder takes all
		member(name, "<string>"+text.String()+"</string>")
	}
	b.WriteString("</struct></value></param></params></methodCall>\n")
	return b.String()
}

// faultError is an error that the server answers over XML-RPC.
type faultError struct{ text string }

func (f *faultError) Error() string { return "the server answers " + strconv.Quote(f.text) }

const answer = "methodResponse/params/param/value"

// parseJobs reads the ids of jobs, "J:123", from the answer to jobs.filter.
func parseJobs(r io.Reader, limit int) (ids []int, err error) {
	var fault *faultError
	known, strange := false, ""
	name := ""
	err = walk(r, func(path, text string) {
		switch path {
		case answer + "/array/data/value/string":
			if id, ok := jobID(text); !ok {
				strange = text
			} else if len(ids) < limit {
				ids = append(ids, id)
			}
		case answer + "/array":
			known = true
		case "methodResponse/fault/value/struct/member/name":
			name = text
		case "methodResponse/fault/value/struct/member/value/string", "methodResponse/fault/value/struct/member/value":
			if name == "faultString" && strings.TrimSpace(text) != "" {
				fault = &faultError{text: strings.TrimSpace(text)}
			}
		}
	})
	switch {
	case err != nil:
	case fault != nil:
		err = fault
	case !known:
		err = errors.New("it is no answer to jobs.filter")
	case strange != "":
		err = fmt.Errorf("%.40q is not the id of a job", strange)
	}
	return ids, err
}

func jobID(text string) (int, bool) {
	digits, ok := strings.CutPrefix(strings.TrimSpace(text), "J:")
	id, err := strconv.Atoi(digits)
	return id, ok && err == nil && id > 0
}
