package rabbit

import (
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/colliehq/collie/internal/testkit/launch"
)

// epmd is Erlang's port mapper, by which nodes find each other. A node would
// start one that outlives it; ours is our own child and ends with the last
// node.
type epmd struct {
	port    int
	process *launch.Process

	mu    sync.Mutex
	users int
}

func startEpmd() (*epmd, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	p, err := launch.Start(launch.Options{}, "epmd", "-address", "127.0.0.1", "-port", strconv.Itoa(port))
	if err != nil {
		return nil, err
	}
	e := &epmd{port: port, process: p, users: 1}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	err = launch.Await(ctx, "epmd to listen", func(ctx context.Context) error { return dial(ctx, port) }, p)
	if err != nil {
		_ = p.Kill()
		return nil, err
	}
	return e, nil
}

func (e *epmd) join() *epmd {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.users++
	return e
}

// leave ends it after its last user.
func (e *epmd) leave() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.users--; e.users == 0 {
		return e.process.Kill()
	}
	return nil
}
