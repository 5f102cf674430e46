// Package size reads and writes sizes as people do in configuration files.
package size

import (
	"fmt"
	"strconv"
	"strings"
)

// Bytes is a number of bytes, written as Prometheus writes it: 512MB, 2GB.
type Bytes int64

// units are powers of 1024, as in Prometheus.
func units() []struct {
	name  string
	bytes int64
} {
	return []struct {
		name  string
		bytes int64
	}{{"TB", 1 << 40}, {"GB", 1 << 30}, {"MB", 1 << 20}, {"KB", 1 << 10}, {"B", 1}}
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Bytes) UnmarshalText(text []byte) error {
	word := strings.TrimSpace(string(text))
	if word == "0" {
		*s = 0
		return nil
	}
	for _, u := range units() {
		number, ok := strings.CutSuffix(word, u.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(number, 10, 64)
		if err != nil || n < 0 || n > (1<<62)/u.bytes {
			break
		}
		*s = Bytes(n * u.bytes)
		return nil
	}
	return fmt.Errorf("%q is no size; write for example 64KB, 25MB or 2GB, or 0", word)
}

// MarshalText implements encoding.TextMarshaler.
func (s Bytes) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

func (s Bytes) String() string {
	for _, u := range units() {
		if s != 0 && int64(s)%u.bytes == 0 {
			return strconv.FormatInt(int64(s)/u.bytes, 10) + u.name
		}
	}
	return "0"
}
