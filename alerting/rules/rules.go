// Package rules holds the alerting rules that Collie ships, in Prometheus' own
// format.
package rules

import "embed"

// FS holds the rule files, *.yml at its root.
//
//go:embed *.yml
var FS embed.FS
