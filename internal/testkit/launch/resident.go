package launch

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
)

// ResidentBytes is the resident memory of a process and of its children, as
// Linux tells it; 0 where it does not.
func ResidentBytes(pid int) (total float64) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range bytes.Lines(status) {
		var kb float64
		if n, _ := fmt.Sscanf(string(line), "VmRSS: %f kB", &kb); n == 1 {
			total = kb * 1024
		}
	}
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		return total
	}
	for _, task := range tasks {
		raw, err := os.ReadFile(task)
		if err != nil {
			continue // the thread has ended
		}
		for field := range bytes.FieldsSeq(raw) {
			var child int
			if n, _ := fmt.Sscanf(string(field), "%d", &child); n == 1 {
				total += ResidentBytes(child)
			}
		}
	}
	return total
}
