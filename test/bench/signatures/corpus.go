package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"

	"github.com/colliehq/collie/internal/match"
	"github.com/colliehq/collie/signatures"
)

// corpus is lines of the logs in random order, every thousandth with a sample of
// a shipped signature behind it.
func corpus(dir string, size int) ([]byte, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*.log"))
	if err != nil {
		return nil, err
	}
	var lines [][]byte
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		for line := range bytes.Lines(text) {
			lines = append(lines, bytes.TrimRight(line, "\r\n"))
		}
	}
	if len(lines) == 0 {
		return nil, fmt.Errorf("no *.log in %s; name another folder with -logs", dir)
	}
	samples := samples()
	r := rand.New(rand.NewPCG(1, 2))
	text := make([]byte, 0, size+4096)
	for n := 0; len(text) < size; n++ {
		text = append(text, lines[r.IntN(len(lines))]...)
		if n%1000 == 0 {
			text = append(append(text, ' '), samples[r.IntN(len(samples))]...)
		}
		text = append(text, '\n')
	}
	return text, nil
}

func samples() (all []string) {
	for _, f := range signatures.Shipped() {
		for _, s := range f.Signatures {
			if len(s.Samples.Match) > 0 {
				all = append(all, s.Samples.Match[0])
			}
		}
	}
	return all
}

// patterns are those of the shipped signatures, and beyond them phrases as teams
// add: two in three as they are written, one in three in any case.
func patterns(n int) (list []match.Pattern) {
	for _, f := range signatures.Shipped() {
		for _, s := range f.Signatures {
			for _, t := range s.Patterns {
				switch {
				case t.Literal != "":
					list = append(list, match.Pattern{Expr: regexp.QuoteMeta(t.Literal)})
				case t.Regex != "":
					list = append(list, match.Pattern{Expr: t.Regex})
				}
			}
		}
	}
	r := rand.New(rand.NewPCG(3, 4))
	r.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	subjects := []string{"instance", "volume", "network", "port", "image", "server", "tempest", "nova-compute", "keystone", "cinder", "neutron agent", "hypervisor", "libvirt", "security group", "floating ip", "router", "subnet", "heat stack", "swift object", "zookeeper", "etcd", "scheduler", "kernel module", "build host"}
	verbs := []string{"failed to become active", "could not be deleted", "timed out waiting for", "is not reachable from", "was not found on", "refused a connection to", "lost its lease of", "returned an unexpected status for", "did not release", "raised a traceback in"}
	for len(list) < n {
		expr := fmt.Sprintf("%s %s %s", subjects[r.IntN(len(subjects))], verbs[r.IntN(len(verbs))], subjects[r.IntN(len(subjects))])
		switch r.IntN(3) {
		case 0:
			expr = "(?i)" + expr
		case 1:
			expr += `.*\d+`
		}
		list = append(list, match.Pattern{Expr: expr})
	}
	return list[:n]
}
