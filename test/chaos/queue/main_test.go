package main

import (
	"context"
	"os"
	"testing"

	"github.com/colliehq/collie/internal/testkit/need"
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

// The same of the real program: what a sender was told 202 for is in the spool.
func TestReceiver(t *testing.T) {
	need.Program(t, "strace")
	found, err := receiverTrial(t.Context(), config{dir: t.TempDir(), rounds: 8, seed: 5})
	if err != nil {
		t.Fatal(err)
	}
	t.Log(found)
	t.Logf("figure queue.chaos_receiver_p99_seconds %.4f seconds", found.p99().Seconds())
	if found.lost+found.duplicated > 0 || found.acked == 0 || found.faults < 9 {
		t.Errorf("%s", found)
	}
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
