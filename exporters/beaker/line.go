package beaker

import (
	"bytes"
	"errors"
	"math"
	"strconv"
	"strings"
)

// line is one line of carbon's plaintext protocol: NAME VALUE TIMESTAMP, as in
// "beaker.gauges.dirty_jobs 3 1700000000".
// https://graphite.readthedocs.io/en/latest/feeding-carbon.html
type line struct {
	name  string
	value float64
	at    float64 // seconds since 1970; 0: the time of arrival
}

// maxLine is the longest line that is read, in bytes.
const maxLine = 1024

var errMalformed = errors.New("not NAME VALUE TIMESTAMP")

// parseLine reads one line without its end. All that is measured is counted in
// wholes from 0 up, or is a plain number; NaN and infinity are no values.
func parseLine(text []byte) (line, error) {
	if len(text) > maxLine {
		return line{}, errMalformed
	}
	parts := bytes.Fields(text)
	if len(parts) != 3 {
		return line{}, errMalformed
	}
	value, err := number(parts[1])
	if err != nil || value < 0 {
		return line{}, errMalformed
	}
	at, err := number(parts[2])
	if err != nil || at < -1 {
		return line{}, errMalformed
	}
	return line{name: string(parts[0]), value: value, at: max(at, 0)}, nil // -1 is now, as in carbon
}

// number reads a decimal number as Python prints it: no hexadecimal, no
// underscores, no words.
func number(text []byte) (float64, error) {
	if strings.ContainsFunc(string(text), func(r rune) bool { return !strings.ContainsRune("+-.0123456789eE", r) }) {
		return 0, errMalformed
	}
	v, err := strconv.ParseFloat(string(text), 64)
	if err != nil || math.IsInf(v, 0) {
		return 0, errMalformed
	}
	return v, nil
}
