package exporters

import (
	"testing"
	"time"

	"github.com/colliehq/collie/exporters/verdict"
	"github.com/colliehq/collie/signal"
)

func pendingTarget(queued int) (*target, *pending) {
	p := &pending{}
	t := &target{cfg: targetOf("web"), machine: verdict.New(time.Unix(1, 0))}
	for range queued {
		p.add(t.snapshot(time.Unix(2, 0)))
	}
	return t, p
}

// What is in a commit must not change under it, nor be lost with it.
func TestFoldLeavesTheCommitAlone(t *testing.T) {
	target, p := pendingTarget(maxPerTarget)
	p.list = p.list[maxPerTarget-3:] // all that is left fits into one commit
	inCommit, all := p.next()
	if len(inCommit) != 3 || !all {
		t.Fatalf("%d in the commit, all %t", len(inCommit), all)
	}
	last := inCommit[2]
	c := target.snapshot(time.Unix(3, 0))
	p.add(c)
	if inCommit[2] != last {
		t.Error("a change in the commit was replaced")
	}
	p.stored()
	if len(p.list) != 1 || p.list[0] != c {
		t.Errorf("%d changes wait after the commit, want the new one", len(p.list))
	}
}

func TestFoldTellsWhereItCameFrom(t *testing.T) {
	target, p := pendingTarget(maxPerTarget)
	p.list[maxPerTarget-1].body.Previous = signal.Down
	c := target.snapshot(time.Unix(3, 0))
	p.add(c)
	if p.folded != 1 || len(p.list) != maxPerTarget || p.list[maxPerTarget-1] != c || c.body.Previous != signal.Down {
		t.Errorf("folded %d, %d wait, previous %s", p.folded, len(p.list), c.body.Previous)
	}
	ping := target.ping()
	p.add(ping)
	if len(p.list) != maxPerTarget+1 {
		t.Error("a ping that somebody waits for was folded")
	}
}

func TestEvidenceIsBounded(t *testing.T) {
	target, _ := pendingTarget(0)
	long := make([]byte, 4<<10)
	for i := range long {
		long[i] = 'x'
	}
	for i := range 20 {
		target.keepFailure(verdict.Result{At: time.Unix(int64(i), 0), Reason: "body", Evidence: string(long)})
	}
	if n := len(target.evidence(time.Time{})); n > 10<<10 || n < 4<<10 {
		t.Errorf("%d bytes of evidence", n)
	}
}
