//go:build !linux

package file

import (
	"fmt"
	"os"
	"reflect"
)

// keyOf takes what the system's stat knows; without a birth.
func keyOf(path string, info os.FileInfo, _ int) (Key, error) {
	st := reflect.Indirect(reflect.ValueOf(info.Sys()))
	if st.Kind() != reflect.Struct || !st.FieldByName("Ino").IsValid() {
		return Key{}, fmt.Errorf("look at %s: this system does not number its files", path)
	}
	return Key{Dev: number(st.FieldByName("Dev")), Inode: number(st.FieldByName("Ino"))}, nil
}

func number(v reflect.Value) uint64 {
	if v.CanInt() {
		return uint64(v.Int()) //nolint:gosec // only told apart
	}
	return v.Uint()
}
