package local

import "context"

// inProcess asks in our own process. A call that hangs keeps its thread, and
// with it the process when that is to end: it is for programs that cannot have
// a helper.
type inProcess struct{ statfs func(path string) answer }

func (p inProcess) ask(_ context.Context, path string) (*call, error) {
	c := newCall()
	go func() { c.finish(p.statfs(path), nil) }()
	return c, nil
}

func (inProcess) abandon(*call) {}
func (inProcess) close() error  { return nil }
