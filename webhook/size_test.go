package webhook

import "testing"

func TestSizesAreWrittenAsTheyAreRead(t *testing.T) {
	for size, want := range map[Size]string{0: "0B", 1: "1B", 1500: "1500B", 64 << 10: "64KB", 25 << 20: "25MB", 3 << 30: "3GB"} {
		if got := size.String(); got != want {
			t.Errorf("%d is written %s, want %s", int64(size), got, want)
		}
		var again Size
		if err := again.UnmarshalText([]byte(want)); err != nil || again != size {
			t.Errorf("%s is read as %d, %v", want, int64(again), err)
		}
	}
}
