package acceptance

import (
	"os"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/colliehq/collie/alerting/rules"
)

// cmdRules writes the shipped rule files into a new folder, for a Prometheus
// beside Collie.
func cmdRules(ts *testscript.TestScript, _ *stage, args []string) error {
	if len(args) != 1 {
		return usageError("rules DIR")
	}
	return os.CopyFS(ts.MkAbs(args[0]), rules.FS)
}
