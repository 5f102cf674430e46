package beaker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"sync"

	"github.com/colliehq/collie/exporters/probe"
)

// wanted are the systems to tell about, at most MaxSystems, and how many there
// are beyond.
func (a *asking) wanted() (names []string, dropped int) {
	a.server.mu.Lock()
	defer a.server.mu.Unlock()
	seen := map[string]bool{}
	add := func(list []string) {
		for _, name := range list {
			switch {
			case seen[name]:
			case len(names) < int(a.MaxSystems):
				names = append(names, name)
			default:
				dropped++
			}
			seen[name] = true
		}
	}
	add(a.Systems)
	for _, pool := range a.Pools {
		add(a.server.pools[pool].value)
	}
	add(a.server.listed)
	return names, dropped
}

// askSystems asks for the status of the systems, first of those that were asked
// for longest ago, and forgets those that are not wanted any more.
func (a *asking) askSystems(ctx context.Context) {
	names, _ := a.wanted()
	a.server.mu.Lock()
	for name := range a.server.systems {
		if !slices.Contains(names, name) {
			delete(a.server.systems, name)
		}
	}
	slices.SortStableFunc(names, func(x, y string) int { return a.server.systems[x].asked.Compare(a.server.systems[y].asked) })
	names = slices.DeleteFunc(names, func(name string) bool { return !a.due(a.server.systems[name].asked) })
	a.server.mu.Unlock()
	a.each(ctx, len(names), func(i int) { a.askSystem(ctx, names[i]) })
}

// each does work for 0 to n-1, a few at once, until asking is over.
func (a *asking) each(ctx context.Context, n int, work func(i int)) {
	next := make(chan int)
	var done sync.WaitGroup
	for range min(parallel, n) {
		done.Go(func() {
			for i := range next {
				if !a.over(ctx) {
					a.survive(func() { work(i) })
				}
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	done.Wait()
}

// survive turns a panic into a failure: probe.Run sees only those of the
// probe's own goroutine.
func (a *asking) survive(work func()) {
	defer func() {
		if r := recover(); r != nil {
			a.fail(&trouble{probe.Protocol, fmt.Sprintf("the probe broke on an answer: %v (a mistake in Collie)", r), false})
		}
	}()
	work()
}

func (a *asking) askSystem(ctx context.Context, name string) {
	var s system
	err := a.get(ctx, "application/json", nil, func(r io.Reader) (err error) {
		s, err = parseSystem(r)
		return err
	}, "systems", name, "status")
	a.fail(err)
	a.server.mu.Lock()
	defer a.server.mu.Unlock()
	f := a.server.systems[name]
	f.note(s, err, a.now(), a.Refresh)
	a.server.systems[name] = f
}

// askJobs asks which jobs are unfinished and reads each for the status of its
// recipes. The sum is told only once all were read.
func (a *asking) askJobs(ctx context.Context) {
	a.server.mu.Lock()
	before := a.server.jobs
	a.server.mu.Unlock()
	if !a.Jobs || !a.due(before.asked) || a.over(ctx) {
		return
	}
	found, err := a.readJobs(ctx)
	a.fail(err)
	before.note(found, err, a.now(), a.Refresh)
	a.server.mu.Lock()
	defer a.server.mu.Unlock()
	a.server.jobs = before
}

func (a *asking) readJobs(ctx context.Context) (jobs, error) {
	var ids []int
	filter := jobFilter{owner: a.JobsOwner, group: a.JobsGroup, limit: int(a.MaxJobs)}
	err := a.post(ctx, "RPC2", filter.call(), func(r io.Reader) (err error) {
		ids, err = parseJobs(r, filter.limit)
		return err
	})
	if err != nil {
		return jobs{}, err
	}
	answers := make([]map[string]int, len(ids))
	errs := make([]error, len(ids))
	a.each(ctx, len(ids), func(i int) {
		answers[i], errs[i] = a.askJob(ctx, ids[i])
		a.fail(errs[i])
	})
	found := jobs{listed: len(ids), recipes: map[string]int{}}
	for i, recipes := range answers {
		if errs[i] == nil && recipes == nil { // asking was over before
			errs[i] = errSpent
		}
		for status, n := range recipes {
			found.recipes[status] += n
		}
	}
	return found, errors.Join(errs...)
}

func (a *asking) askJob(ctx context.Context, id int) (recipes map[string]int, err error) {
	err = a.get(ctx, "application/json", nil, func(r io.Reader) (err error) {
		recipes, err = parseJob(r)
		return err
	}, "jobs", strconv.Itoa(id))
	return recipes, err
}
