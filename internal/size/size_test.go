package size

import "testing"

func TestSizesAreWrittenAsTheyAreRead(t *testing.T) {
	for size, want := range map[Bytes]string{0: "0", 1: "1B", 1500: "1500B", 64 << 10: "64KB", 25 << 20: "25MB", 3 << 30: "3GB"} {
		if got := size.String(); got != want {
			t.Errorf("%d is written %s, want %s", int64(size), got, want)
		}
		var again Bytes
		if err := again.UnmarshalText([]byte(want)); err != nil || again != size {
			t.Errorf("%s is read as %d, %v", want, int64(again), err)
		}
	}
}

func TestAsPrometheusWritesThem(t *testing.T) {
	for text, want := range map[string]Bytes{"0": 0, "1B": 1, "512MB": 512 << 20, "2GB": 2 << 30, "1TB": 1 << 40} {
		var s Bytes
		if err := s.UnmarshalText([]byte(text)); err != nil || s != want {
			t.Errorf("%s: %d, %v", text, s, err)
		}
		if s.String() != text {
			t.Errorf("%d is shown as %s, want %s", s, s, text)
		}
	}
	for _, text := range []string{"", "5", "-1GB", "GB", "9999999999TB", "1PB"} {
		if err := new(Bytes).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}

func TestAsWebhooksWriteThem(t *testing.T) {
	for text, want := range map[string]int64{"64KB": 64 << 10, "25MB": 25 << 20, "1GB": 1 << 30, "7B": 7} {
		var s Bytes
		if err := s.UnmarshalText([]byte(text)); err != nil || int64(s) != want || s.String() != text {
			t.Errorf("%s: %v %d %s", text, err, s, s)
		}
	}
	for _, text := range []string{"", "1", "-1MB", "MB", "99999999999GB"} {
		if new(Bytes).UnmarshalText([]byte(text)) == nil {
			t.Errorf("%q is taken", text)
		}
	}
}
