// Command exporters-nfs measures what a look at a real NFS server costs Collie:
// whether it lives, and the size of an export by each version. It needs root and
// NFS-Ganesha. It prints lines "figure exporters.NAME VALUE UNIT".
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"syscall"
	"time"

	"github.com/colliehq/collie/exporters/module"
	"github.com/colliehq/collie/exporters/nfs"
	"github.com/colliehq/collie/exporters/probe"
	"github.com/colliehq/collie/internal/testkit/ganesha"
)

const modules = `modules:
  nfs_null: {prober: nfs, nfs: {versions: [4.0]}}
  nfs_all_null: {prober: nfs, nfs: {}}
  nfs_size_3: {prober: nfs, nfs: {versions: 3, max_exports: 0}}
  nfs_size_4_0: {prober: nfs, nfs: {versions: [4.0]}}
  nfs_size_4_1: {prober: nfs, nfs: {versions: [4.1]}}
  nfs_default: {prober: nfs, nfs: {}}
`

func main() {
	probes := flag.Int("probes", 200, "probes in each measurement")
	rounds := flag.Int("rounds", 5, "measurements of each kind; their median counts")
	flag.Parse()
	if err := run(*probes, *rounds); err != nil {
		fmt.Fprintln(os.Stderr, "bench exporters-nfs:", err)
		os.Exit(1)
	}
}

func run(probes, rounds int) (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	if !ganesha.IsInside() {
		again := ganesha.Again(ctx, os.Args[1:]...)
		again.Stdout, again.Stderr = os.Stdout, os.Stderr
		return again.Run()
	}
	dir, err := os.MkdirTemp("", "collie-bench")
	if err != nil {
		return err
	}
	server, err := ganesha.Start(ctx, dir, ganesha.Options{})
	if err != nil {
		return errors.Join(err, os.RemoveAll(dir))
	}
	defer func() { err = errors.Join(err, server.Close(), os.RemoveAll(dir)) }()
	kinds := module.Map(module.Parse([]byte(modules), nfs.New(nfs.Options{}).Kinds(), func(line int, path, message string) {
		err = errors.Join(err, fmt.Errorf("line %d: %s: %s", line, path, message))
	}))
	if err != nil {
		return err
	}
	for _, kind := range []struct{ module, target string }{
		{"nfs_null", "127.0.0.1"}, {"nfs_all_null", "127.0.0.1"}, {"nfs_size_3", "127.0.0.1:/export"},
		{"nfs_size_4_0", "127.0.0.1:/export"}, {"nfs_size_4_1", "127.0.0.1:/export"}, {"nfs_default", "127.0.0.1:/export"},
	} {
		if err := figures(ctx, kinds[kind.module], kind.target, probes, rounds); err != nil {
			return err
		}
	}
	return nil
}

// figures measures one kind of probe.
func figures(ctx context.Context, m probe.Module, target string, probes, rounds int) error {
	var cost, took []float64
	for range rounds {
		start, before := time.Now(), cpu()
		for range probes {
			if r := probe.Run(ctx, m, probe.Request{Target: target, Dial: probe.GuardMetadata}); !r.Success {
				return fmt.Errorf("%s: %s", m.Name, r.Cause)
			}
		}
		cost = append(cost, (cpu()-before)/float64(probes))
		took = append(took, time.Since(start).Seconds()/float64(probes))
	}
	fmt.Printf("figure exporters.%s_cpu_seconds %.7f seconds\n", m.Name, median(cost))
	fmt.Printf("figure exporters.%s_seconds %.6f seconds\n", m.Name, median(took))
	return nil
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}

// cpu is the processor time of this process so far, in seconds; the server's is
// not in it.
func cpu() float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}
