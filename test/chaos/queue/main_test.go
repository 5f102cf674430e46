package main

import (
	"context"
	"os"
	"testing"
)

// The child of a trial is this test's binary.
func TestMain(m *testing.M) {
	if mode := os.Getenv(childEnv); mode != "" {
		if err := child(context.Background(), mode); err != nil {
			os.Stderr.WriteString("child: " + err.Error() + "\n")
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// Killed, on a full disk and after a failed sync: nothing that was acknowledged
// is lost, nothing is acted on twice.
func TestTrial(t *testing.T) {
	found, err := trial(t.Context(), config{dir: t.TempDir(), rounds: 8, seed: 3})
	if err != nil {
		t.Fatal(err)
	}
	t.Log(found)
	if found.lost+found.duplicated > 0 || found.acked == 0 || found.faults < 9 {
		t.Errorf("%s", found)
	}
	if os.Geteuid() == 0 && found.refused == 0 {
		t.Error("the full disk refused nothing")
	}
}
