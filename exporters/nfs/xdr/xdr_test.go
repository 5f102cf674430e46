package xdr

import (
	"bytes"
	"errors"
	"testing"
)

// TestExamples holds against what RFC 4506 shows.
func TestExamples(t *testing.T) {
	var e Encoder
	e.Uint32(0x01020304)
	e.Uint64(0x0102030405060708)
	e.String("sillyprog") // section 7
	e.Fixed([]byte{1, 2, 3})
	want := []byte{
		1, 2, 3, 4, 1, 2, 3, 4, 5, 6, 7, 8,
		0, 0, 0, 9, 's', 'i', 'l', 'l', 'y', 'p', 'r', 'o', 'g', 0, 0, 0,
		1, 2, 3, 0,
	}
	if !bytes.Equal(e.Bytes(), want) {
		t.Errorf("written %x, want %x", e.Bytes(), want)
	}
	d := NewDecoder(want)
	if a, b, c := d.Uint32(), d.Uint64(), d.String(9); a != 0x01020304 || b != 0x0102030405060708 || c != "sillyprog" {
		t.Errorf("read %x %x %q", a, b, c)
	}
	if got := d.Fixed(3); !bytes.Equal(got, []byte{1, 2, 3}) || d.Len() != 0 || d.Err() != nil {
		t.Errorf("read %x, %d left, %v", got, d.Len(), d.Err())
	}
	if d.Uint32(); !errors.Is(d.Err(), ErrShort) {
		t.Errorf("error %v behind the end", d.Err())
	}
}

func TestBool(t *testing.T) {
	d := NewDecoder([]byte{0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2})
	if a, b, c := d.Bool(), d.Bool(), d.Bool(); !a || b || c || d.Err() == nil {
		t.Errorf("read %t %t %t, %v", a, b, c, d.Err())
	}
}

func TestLimits(t *testing.T) {
	for _, b := range [][]byte{{0, 0, 0, 9, 1, 2, 3, 4}, {0, 0, 0, 4, 1, 2, 3}, {0, 0, 0, 1, 1}, {0xff, 0xff, 0xff, 0xff}, {0}} {
		d := NewDecoder(b)
		if got := d.Opaque(8); got != nil && d.Err() == nil {
			t.Errorf("%x is read as %x", b, got)
		}
		if d.Err() == nil {
			t.Errorf("%x: no error", b)
		}
	}
}

// FuzzDecoder reads any bytes in any order of types: nothing panics, nothing is
// read twice, and after an error all is zero.
func FuzzDecoder(f *testing.F) {
	f.Add([]byte{0, 0, 0, 5, 'h', 'e', 'l', 'l', 'o', 0, 0, 0}, []byte{3})
	f.Add([]byte{0, 0, 0, 1}, []byte{0, 1, 2, 3, 4})
	f.Fuzz(func(t *testing.T, b, order []byte) {
		d := NewDecoder(b)
		for _, o := range order {
			before, failed := d.Len(), d.Err() != nil
			var zero bool
			switch o % 5 {
			case 0:
				zero = d.Uint32() == 0
			case 1:
				zero = d.Uint64() == 0
			case 2:
				zero = !d.Bool()
			case 3:
				zero = len(d.Opaque(int(o))) == 0
			default:
				zero = len(d.Fixed(int(o))) == 0
			}
			if d.Len() > before || failed && !zero {
				t.Fatalf("%d bytes are left of %d; zero after an error: %t", d.Len(), before, zero)
			}
		}
	})
}
