package strictyaml

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

var durationType = reflect.TypeFor[time.Duration]()

func (d *decoder) scalar(n *yaml.Node, out reflect.Value, path string) {
	if n.Kind != yaml.ScalarNode {
		d.notSingle(n, path)
		return
	}
	if err := setScalar(n, out); err != nil {
		d.report(n, path, "%s", err)
	}
}

func (d *decoder) notSingle(n *yaml.Node, path string) {
	hint := ""
	if n.Style&yaml.FlowStyle != 0 && n.Kind == yaml.MappingNode {
		hint = "; text that begins with { must be in quotes"
	}
	d.report(n, path, "expected a single value, found %s%s", describe(n), hint)
}

func setScalar(n *yaml.Node, out reflect.Value) error {
	if out.Type() == durationType {
		v, err := ParseDuration(n.Value)
		out.SetInt(int64(v))
		return err
	}
	switch out.Kind() {
	case reflect.String:
		return setString(n, out)
	case reflect.Bool:
		return setBool(n, out)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return setInt(n, out)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return setUint(n, out)
	case reflect.Float32, reflect.Float64:
		return setFloat(n, out)
	}
	return errors.New("cannot be set here")
}

func setString(n *yaml.Node, out reflect.Value) error {
	if n.ShortTag() != "!!binary" {
		out.SetString(n.Value)
		return nil
	}
	var s string
	if err := n.Decode(&s); err != nil {
		return errors.New("is not base64, as its tag says")
	}
	out.SetString(s)
	return nil
}

func setBool(n *yaml.Node, out reflect.Value) error {
	switch strings.ToLower(n.Value) {
	case "true", "yes", "on":
		out.SetBool(true)
	case "false", "no", "off":
		out.SetBool(false)
	default:
		return fmt.Errorf("%s is not true or false", quote(n.Value))
	}
	return nil
}

func setInt(n *yaml.Node, out reflect.Value) error {
	v, err := wholeNumber(n.Value, func(s string) (int64, error) { return strconv.ParseInt(s, 0, 64) })
	if err != nil {
		return err
	}
	if out.OverflowInt(v) {
		return fmt.Errorf("%s is out of range", quote(n.Value))
	}
	out.SetInt(v)
	return nil
}

func setUint(n *yaml.Node, out reflect.Value) error {
	if strings.HasPrefix(n.Value, "-") {
		if _, err := strconv.ParseFloat(n.Value, 64); err == nil {
			return fmt.Errorf("%s must not be negative", n.Value)
		}
	}
	v, err := wholeNumber(n.Value, func(s string) (uint64, error) { return strconv.ParseUint(s, 0, 64) })
	if err != nil {
		return err
	}
	if out.OverflowUint(v) {
		return fmt.Errorf("%s is out of range", quote(n.Value))
	}
	out.SetUint(v)
	return nil
}

var leadingZeros = regexp.MustCompile(`^([-+]?)0+([0-9])`)

// wholeNumber reads digits as people mean them: 010 is ten.
func wholeNumber[T int64 | uint64](text string, parse func(string) (T, error)) (T, error) {
	v, err := parse(leadingZeros.ReplaceAllString(strings.TrimPrefix(text, "+"), "$1$2"))
	switch {
	case err == nil:
		return v, nil
	case errors.Is(err, strconv.ErrRange):
		return 0, fmt.Errorf("%s is out of range", quote(text))
	}
	if _, err := strconv.ParseFloat(text, 64); err == nil {
		return 0, fmt.Errorf("%s is not a whole number", quote(text))
	}
	return 0, fmt.Errorf("%s is not a number", quote(text))
}

func setFloat(n *yaml.Node, out reflect.Value) error {
	v, err := strconv.ParseFloat(n.Value, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		if n.Decode(&v) != nil { // .inf, .nan
			return fmt.Errorf("%s is not a number", quote(n.Value))
		}
	}
	if errors.Is(err, strconv.ErrRange) || out.OverflowFloat(v) {
		return fmt.Errorf("%s is out of range", quote(n.Value))
	}
	out.SetFloat(v)
	return nil
}

func isNull(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null"
}

func knownTag(n *yaml.Node) bool {
	switch n.ShortTag() {
	case "", "!", "!!str", "!!int", "!!float", "!!bool", "!!null", "!!timestamp", "!!binary", "!!merge":
		return true
	}
	return false
}

// describe says what a node is, for "found ...".
func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a map"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "the alias *" + n.Value
	case yaml.ScalarNode:
		if isNull(n) {
			return "nothing"
		}
		return quote(n.Value)
	}
	return "nothing"
}

// listHint and mapHint guess what was meant by a node of another kind.
func listHint(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return `; start each entry with "- "`
	case n.Kind == yaml.ScalarNode && len(n.Value) <= 40 && !strings.ContainsAny(n.Value, "\n[]{}"):
		return "; write [" + n.Value + "]"
	}
	return ""
}

var glued = regexp.MustCompile(`^[a-z_]+:[^\s/]`)

func mapHint(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.SequenceNode:
		return `; write its keys without "- "`
	case n.Kind == yaml.ScalarNode && glued.MatchString(n.Value):
		return "; a colon needs a space after it"
	}
	return ""
}

// quote shows a value as the user wrote it, numbers and words in quotes, long
// ones cut.
func quote(s string) string {
	const most = 60
	if len(s) > most {
		cut := most
		for cut > 0 && !utf8.RuneStart(s[cut]) {
			cut--
		}
		s = s[:cut] + "..."
	}
	return strconv.Quote(s)
}

var yamlPrefix = regexp.MustCompile(`^(?:yaml: )?(?:unmarshal errors:\s*)?(?:line (\d+): )?`)

// failure reports what a type that decodes itself answered.
func (d *decoder) failure(n *yaml.Node, path string, err error) {
	if err == nil {
		return
	}
	texts := []string{err.Error()}
	if several, ok := errors.AsType[*yaml.TypeError](err); ok {
		texts = several.Errors
	}
	for _, text := range texts {
		at := *n
		found := yamlPrefix.FindStringSubmatch(text)
		if line, err := strconv.Atoi(found[1]); err == nil {
			at.Line = line
		}
		d.report(&at, path, "%s", strings.TrimPrefix(text, found[0]))
	}
}
