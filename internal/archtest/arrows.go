// Package archtest holds the shape of the repository: which way the arrows
// between packages point, and that every dependency is accounted for.
package archtest

import (
	"fmt"
	"slices"
	"strings"
)

const module = "github.com/colliehq/collie"

// rooms speak of the domain. None imports another: two rooms that seem to need
// each other exchange a signal, or cmd joins them.
func rooms() []string {
	return []string{
		"exporters", "ledger", "dashboards", "collectors", "signatures", "alerting", "webhook", "herder", "ircbot",
	}
}

// level says how high a package stands: it may import only what stands lower,
// or its own kind.
type level int

const (
	nounLevel     level = iota // signal
	policyLevel                // retry
	technicLevel               // internal/queue, store, match, ...
	roomLevel                  // exporters, ledger, ...
	joiningLevel               // internal/config, internal/daemon
	commandLevel               // cmd/..., test/...
	strangerLevel              // a folder that this list does not know
)

// levelOf places a package by its path below the module.
func levelOf(path string) level {
	top, rest, _ := strings.Cut(path, "/")
	below, _, _ := strings.Cut(rest, "/")
	switch {
	case top == "signal":
		return nounLevel
	case top == "retry":
		return policyLevel
	case top == "internal" && (below == "config" || below == "daemon"):
		return joiningLevel
	case top == "internal":
		return technicLevel
	case slices.Contains(rooms(), top):
		return roomLevel
	case top == "cmd" || top == "test":
		return commandLevel
	}
	return strangerLevel
}

// wrong says what is wrong with one package of ours importing a package, empty
// if nothing is. From is a path below the module.
func wrong(from, imported string) string {
	to, ours := strings.CutPrefix(imported, module+"/")
	if !ours {
		return wrongOutside(from, imported)
	}
	a, b := levelOf(from), levelOf(to)
	switch {
	case a == strangerLevel:
		return fmt.Sprintf("%s is in no known folder; give it a place in internal/archtest", from)
	case strings.HasPrefix(to, "test/") || strings.HasPrefix(to, "internal/testkit"):
		if !strings.HasPrefix(from, "test/") && !strings.HasPrefix(from, "internal/testkit") && from != "cmd/collie" {
			return fmt.Sprintf("%s imports %s, which is for tests", from, to)
		}
	case a == roomLevel && b == roomLevel && root(from) != root(to):
		return fmt.Sprintf("the rooms %s and %s must not know each other: %s imports %s; exchange a signal, or declare an interface that cmd fills",
			root(from), root(to), from, to)
	case a < b || a == commandLevel && b == commandLevel && root(to) == "cmd":
		return fmt.Sprintf("%s imports %s: the arrow points the wrong way", from, to)
	}
	return ""
}

// wrongOutside holds signal and retry, which others build on, to the standard
// library.
func wrongOutside(from, imported string) string {
	first, _, _ := strings.Cut(imported, "/")
	if levelOf(from) <= policyLevel && strings.Contains(first, ".") {
		return fmt.Sprintf("%s imports %s: it is built on the standard library alone", from, imported)
	}
	return ""
}

func root(path string) string {
	top, _, _ := strings.Cut(path, "/")
	return top
}
