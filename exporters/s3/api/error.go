package api

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// ErrProtocol is wrapped by what is told of an answer that breaks the protocol.
var ErrProtocol = errors.New("the answer is not S3's")

// CredentialsError says that there is nothing to sign with.
type CredentialsError struct{ Cause error }

func (e *CredentialsError) Error() string { return e.Cause.Error() }
func (e *CredentialsError) Unwrap() error { return e.Cause }

// Error is an answer with a status that is no success, as S3 explains it
// (https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html).
type Error struct {
	Status     int
	Code       string // "NoSuchBucket"; empty if the body says none
	Message    string
	Region     string        // where the bucket is, if the server says that it is elsewhere
	Location   string        // of a redirect
	RetryAfter time.Duration // 0: the server says nothing
}

func (e *Error) Error() string {
	text := "the server answers " + strconv.Itoa(e.Status)
	if e.Code != "" {
		text += " " + e.Code
	}
	if e.Message != "" {
		text += ": " + e.Message
	}
	switch {
	case e.Region != "":
		text += fmt.Sprintf(" (the bucket is in region %s: set region: %s)", e.Region, e.Region)
	case e.Location != "":
		text += fmt.Sprintf(" (it points to %s: write that into endpoint)", e.Location)
	}
	return text
}

// Denied says that the credentials are wrong or not enough.
func (e *Error) Denied() bool {
	switch e.Code {
	case "AccessDenied", "AllAccessDisabled", "AccountProblem", "InvalidAccessKeyId", "InvalidSecurity", "SignatureDoesNotMatch",
		"ExpiredToken", "InvalidToken", "TokenRefreshRequired", "RequestTimeTooSkewed", "InvalidPayer", "NotSignedUp", "UnauthorizedAccess":
		return true
	case "QuotaExceeded", "RequestTimeout": // which some servers say with status 403
		return false
	}
	return e.Status == http.StatusUnauthorized || e.Status == http.StatusForbidden
}

// Exhausted says that the server has no room left for us: too many requests, or
// too much data.
func (e *Error) Exhausted() bool {
	switch e.Code {
	case "SlowDown", "SlowDownRead", "SlowDownWrite", "Throttling", "ThrottlingException", "RequestThrottled", "RequestLimitExceeded",
		"TooManyRequests", "BandwidthLimitExceeded", "ServiceUnavailable", "Busy", "QuotaExceeded", "XMinioStorageFull",
		"XMinioAdminBucketQuotaExceeded", "TooManyBuckets":
		return true
	}
	return e.Status == http.StatusTooManyRequests || e.Status == http.StatusInsufficientStorage
}

// Unknown says that the server does not have what was asked for.
func (e *Error) Unknown() bool {
	return e.Code == "NotImplemented" || e.Code == "MethodNotAllowed" || e.Status == http.StatusNotImplemented || e.Status == http.StatusMethodNotAllowed
}

// refusal reads the answer as an error.
func (c *Client) refusal(resp *http.Response) error {
	e := &Error{Status: resp.StatusCode, Region: resp.Header.Get("X-Amz-Bucket-Region")}
	if seconds, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && seconds > 0 {
		e.RetryAfter = time.Duration(min(seconds, 3600)) * time.Second
	}
	if e.Status >= 300 && e.Status < 400 {
		e.Location = clip(resp.Header.Get("Location"))
	}
	body, err := readInto(nil, resp.Body, maxError)
	c.received(len(body))
	if err == nil {
		e.explain(body)
	}
	if e.Region == c.Region {
		e.Region = ""
	}
	e.Region = clip(e.Region)
	return e
}

// explain takes what it can of the body; a proxy's page explains nothing.
func (e *Error) explain(body []byte) {
	read := *e
	root, err := walk(body, func(path string, text []byte) error {
		switch path {
		case "/Error/Code":
			read.Code = clip(string(text))
		case "/Error/Message":
			read.Message = clip(string(text))
		case "/Error/Region":
			read.Region = string(text)
		case "/Error/Endpoint":
			read.Location = clip(string(text))
		}
		return nil
	})
	if err == nil && root == "Error" {
		*e = read
	}
}

// clip bounds what is quoted of the other side.
func clip(s string) string {
	s = strings.ToValidUTF8(strings.Join(strings.Fields(s), " "), "?")
	if len(s) > 200 {
		s = strings.ToValidUTF8(s[:200], "") + "..."
	}
	return s
}
