package local

import (
	"testing"

	"github.com/colliehq/collie/internal/testkit/metricdoc"
)

func TestDocumentation(t *testing.T) {
	metricdoc.Check(t, "../../docs/local.md", "testdata/one.prom", "testdata/all.prom", "testdata/machine.prom")
}
