//go:build !race

package webhook

// raced says that memory is not that of the program alone.
const raced = false
