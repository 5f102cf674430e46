package engine

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/colliehq/collie/alerting/rules"
)

// shipped marks the name of a rule file as one of those in this program.
const shipped = "collie/"

// Shipped are the names of the rule files that this program brings.
func Shipped() []string {
	names, err := fs.Glob(shippedFS(), "*.yml")
	if err != nil {
		panic(err) // a constant, valid pattern
	}
	for i := range names {
		names[i] = shipped + names[i]
	}
	return names
}

func shippedFS() fs.FS { return rules.FS }

// loader implements rules.GroupLoader over shipped files and those on disk.
type loader struct{}

func (loader) Load(name string, lenient bool) (*rulefmt.RuleGroups, []error) {
	return LoadRules(name, lenient)
}

func (loader) Parse(expr string) (parser.Expr, error) { return parser.ParseExpr(expr) }

// LoadRules reads and checks a rule file. The errors carry its name, and lines
// where they are known.
func LoadRules(name string, lenient bool) (*rulefmt.RuleGroups, []error) {
	own, ok := strings.CutPrefix(name, shipped)
	if !ok || filepath.IsAbs(name) {
		return rulefmt.ParseFile(name, lenient)
	}
	text, err := fs.ReadFile(shippedFS(), own)
	if err != nil {
		return nil, []error{fmt.Errorf("shipped rules: %w", err)}
	}
	groups, errs := rulefmt.Parse(text, lenient)
	for i, err := range errs {
		errs[i] = fmt.Errorf("%s: %w", name, err)
	}
	return groups, errs
}
