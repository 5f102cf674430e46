package signatures

import (
	"cmp"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/colliehq/collie/internal/strictyaml"
)

//go:embed files/*.yml
var shipped embed.FS

// Limits of what a file may ask for.
const (
	maxWithin  = 1000
	maxLimit   = 20
	maxSamples = 1000
)

// Mistake is something wrong in a signature file.
type Mistake struct {
	File    string
	Line    int // counted from 1; 0 if it is not known
	Message string
}

func (m Mistake) String() string {
	if m.Line == 0 {
		return m.File + ": " + m.Message
	}
	return fmt.Sprintf("%s:%d: %s", m.File, m.Line, m.Message)
}

// Error is every mistake of the files, one a line.
type Error []Mistake

func (e Error) Error() string {
	lines := make([]string, len(e))
	for i, m := range e {
		lines[i] = m.String()
	}
	return strings.Join(lines, "\n")
}

// Load reads the shipped families and those of the folders and files. A family
// takes the place of a shipped one with its name. The error is an Error where
// files are wrong.
func Load(paths ...string) ([]Family, error) {
	families, told := Shipped(), Error(nil)
	own := map[string]string{}
	for _, p := range paths {
		names, err := files(p)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			text, err := os.ReadFile(name)
			if err != nil {
				return nil, err
			}
			f, wrong := Parse(name, text)
			told = append(told, wrong...)
			if first, ok := own[f.Name]; ok {
				told = append(told, Mistake{name, 0, fmt.Sprintf("family %q is in %s too", f.Name, first)})
			}
			own[f.Name] = name
			families = put(families, f)
		}
	}
	if told = append(told, doubles(families)...); len(told) > 0 {
		return nil, told
	}
	return families, nil
}

// files are the signature files of a path: itself, or those in the folder.
func files(p string) ([]string, error) {
	info, err := os.Stat(p)
	switch {
	case p == "":
		return nil, errors.New("a file or a folder has a name")
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%s does not exist", p)
	case err != nil:
		return nil, err
	case !info.IsDir():
		return []string{p}, nil
	}
	var names []string
	entries, err := os.ReadDir(p)
	for _, e := range entries {
		if ext := filepath.Ext(e.Name()); !e.IsDir() && (ext == ".yml" || ext == ".yaml") {
			names = append(names, filepath.Join(p, e.Name()))
		}
	}
	if err == nil && len(names) == 0 {
		err = fmt.Errorf("no *.yml is in the folder %s", p)
	}
	return names, err
}

// put adds a family, in the place of one with its name.
func put(families []Family, f Family) []Family {
	if at := slices.IndexFunc(families, func(x Family) bool { return x.Name == f.Name }); at >= 0 {
		families[at] = f
		return families
	}
	return append(families, f)
}

// doubles are signatures that have the name of another.
func doubles(families []Family) (told []Mistake) {
	first := map[string]string{}
	for _, f := range families {
		for _, s := range f.Signatures {
			if other, ok := first[s.Name]; ok {
				told = append(told, Mistake{s.File, s.Line, fmt.Sprintf("signature %q is in %s too", s.Name, other)})
			}
			first[s.Name] = s.File
		}
	}
	return told
}

// Shipped are the families that come with Collie.
func Shipped() (families []Family) {
	names, err := fs.Glob(shipped, "files/*.yml")
	if err != nil {
		panic(err) // the pattern is wrong
	}
	for _, name := range names {
		text, err := shipped.ReadFile(name)
		if err != nil {
			panic(err)
		}
		f, told := Parse("shipped:"+path.Base(name), text)
		if len(told) > 0 {
			panic("signatures: a shipped file is wrong: " + Error(told).Error())
		}
		families = append(families, f)
	}
	return families
}

// Parse reads a signature file and tells every mistake in it.
func Parse(file string, text []byte) (f Family, told []Mistake) {
	f.File = file
	bad := func(line int, path, message string) {
		if path != "" {
			message = path + ": " + message
		}
		told = append(told, Mistake{file, line, message})
	}
	root := strictyaml.Parse(text, bad)
	if root == nil {
		return f, told
	}
	if root.Kind == 0 {
		return f, []Mistake{{file, 0, `the file is empty; begin with "family: NAME"`}}
	}
	strictyaml.Decode(root, &f, bad)
	f.File = file
	f.finish(strictyaml.LinesOf(root))
	if len(told) == 0 {
		f.validate(strictyaml.LinesOf(root), func(line int, path, format string, args ...any) {
			bad(line, path, fmt.Sprintf(format, args...))
		})
	}
	slices.SortStableFunc(told, func(a, b Mistake) int { return cmp.Compare(a.Line, b.Line) })
	return f, told
}

// finish sets what is not written.
func (f *Family) finish(lines strictyaml.Lines) {
	for i := range f.Signatures {
		s := &f.Signatures[i]
		s.Family, s.File, s.Line = f.Name, f.File, lines.Of(fmt.Sprintf("signatures[%d]", i))
		s.Action, s.Mode = cmp.Or(s.Action, Retry), cmp.Or(s.Mode, Shadow)
		s.Limit = cmp.Or(s.Limit, 3)
		if len(s.Delays) == 0 {
			s.Delays = []time.Duration{time.Minute, 5 * time.Minute, 15 * time.Minute}
		}
		s.Budget.Per = cmp.Or(s.Budget.Per, time.Hour)
		for j := range s.Patterns {
			s.Patterns[j].Within = cmp.Or(s.Patterns[j].Within, 10)
		}
		for j := range s.Not {
			s.Not[j].Within = cmp.Or(s.Not[j].Within, 10)
		}
	}
}

var nameForm = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)

type reporter = func(line int, path, format string, args ...any)

func (f *Family) validate(lines strictyaml.Lines, tell reporter) {
	bad := func(path, format string, args ...any) { tell(lines.Of(path), path, format, args...) }
	if !nameForm.MatchString(f.Name) {
		bad("family", "%q is no name; write small letters, digits and hyphens", f.Name)
	}
	if len(f.Signatures) == 0 {
		bad("signatures", "there are none")
	}
	for i := range f.Signatures {
		at := fmt.Sprintf("signatures[%d]", i)
		f.Signatures[i].validate(func(path, format string, args ...any) { bad(at+path, format, args...) })
	}
}

func (s *Signature) validate(bad func(path, format string, args ...any)) {
	for key, name := range map[string]string{"name": s.Name, "cause": s.Cause} {
		if !nameForm.MatchString(name) {
			bad("."+key, "%q is no name; write small letters, digits and hyphens", name)
		}
	}
	if len(s.Patterns) == 0 && len(s.Scope.FailureReasons) == 0 && len(s.Scope.ExitCodes) == 0 {
		bad("", "nothing to recognise it by: give patterns, or failure_reasons or exit_codes in its scope")
	}
	oneOf(bad, ".action", string(s.Action), string(Retry), string(Report), string(Alert), string(Leave))
	oneOf(bad, ".mode", string(s.Mode), string(Shadow), string(Reporting), string(Active))
	for i, p := range s.Patterns {
		p.validate(func(path, format string, args ...any) { bad(fmt.Sprintf(".patterns[%d]%s", i, path), format, args...) })
	}
	for i, p := range s.Not {
		p.validate(func(path, format string, args ...any) { bad(fmt.Sprintf(".not[%d]%s", i, path), format, args...) })
	}
	s.Scope.validate(bad)
	s.validateNumbers(bad)
	s.validateAccuses(bad)
	if len(s.Patterns) > 0 && len(s.Samples.Match) == 0 {
		bad(".samples.match", "a signature is proven by at least one sample")
	}
	if len(s.Samples.Match)+len(s.Samples.Clean) > maxSamples {
		bad(".samples", "more than %d", maxSamples)
	}
}

func (s *Signature) validateNumbers(bad func(path, format string, args ...any)) {
	if s.Limit < 1 || s.Limit > maxLimit {
		bad(".limit", "%d attempts; it can be 1 to %d", s.Limit, maxLimit)
	}
	for i, d := range s.Delays {
		if d < 0 {
			bad(fmt.Sprintf(".delays[%d]", i), "%s is before the failure", d)
		}
	}
	if s.Link != "" && !strings.HasPrefix(s.Link, "https://") && !strings.HasPrefix(s.Link, "http://") {
		bad(".link", "%q is no address; begin with https://", s.Link)
	}
	if s.Budget.Retries < 0 || s.Budget.Per <= 0 {
		bad(".budget", "write for example {retries: 20, per: 1h}")
	}
}

// validateAccuses holds a capture against the patterns: each must have it, a
// window in its last line.
func (s *Signature) validateAccuses(bad func(path, format string, args ...any)) {
	name, ok := s.capture()
	if !ok {
		return
	}
	for i, p := range s.Patterns {
		expr := p.Regex
		if len(p.Lines) > 0 {
			expr = p.Lines[len(p.Lines)-1]
		}
		if re, err := regexp.Compile(expr); err == nil && re.SubexpIndex(name) < 0 {
			bad(".accuses.host", "$%s is no group of patterns[%d]; name a group with (?P<%s>...)", name, i, name)
		}
	}
	if len(s.Patterns) == 0 {
		bad(".accuses.host", "$%s is captured by a pattern, and there is none", name)
	}
}

// capture is the group whose text is the accused host; not ok if there is none.
func (s *Signature) capture() (name string, ok bool) {
	if name, ok = strings.CutPrefix(s.Accuses.Host, "$"); !ok {
		return "", false
	}
	return name, true
}

func (t Text) validate(bad func(path, format string, args ...any)) {
	given := 0
	for _, is := range []bool{t.Literal != "", t.Regex != "", len(t.Lines) > 0} {
		if is {
			given++
		}
	}
	if given != 1 {
		bad("", "give one of literal, regex and lines")
		return
	}
	if err := lineExpression(t.Regex); err != nil {
		bad(".regex", "%q: %v", t.Regex, err)
	}
	for i, expr := range t.Lines {
		if err := lineExpression(expr); err != nil {
			bad(fmt.Sprintf(".lines[%d]", i), "%q: %v", expr, err)
		}
	}
	if len(t.Lines) == 1 {
		bad(".lines", "one line alone is a regex")
	}
	if strings.ContainsAny(t.Literal, "\r\n") {
		bad(".literal", "a line never has an end inside; use lines")
	}
	if t.Within < 1 || t.Within > maxWithin {
		bad(".within", "%d lines; it can be 1 to %d", t.Within, maxWithin)
	}
}

// lineExpression says what is wrong with an expression for lines; an empty one
// is none.
func lineExpression(expr string) error {
	re, err := regexp.Compile(expr)
	if err != nil {
		return errors.New(strings.TrimPrefix(err.Error(), "error parsing regexp: "))
	}
	if expr != "" && re.MatchString("") {
		return errors.New("matches an empty line, and with it every log")
	}
	return nil
}

func (s Scope) validate(bad func(path, format string, args ...any)) {
	for key, list := range map[string][]string{"jobs": s.Jobs, "runners": s.Runners} {
		for i, expr := range list {
			if _, err := regexp.Compile(expr); err != nil {
				bad(fmt.Sprintf(".scope.%s[%d]", key, i), "%v", err)
			}
		}
	}
	if s.LastBytes < 0 {
		bad(".scope.last_bytes", "%d bytes", s.LastBytes)
	}
}

func oneOf(bad func(path, format string, args ...any), path, got string, valid ...string) {
	if !slices.Contains(valid, got) {
		bad(path, "unknown word %q%s", got, strictyaml.Suggestion(got, valid))
	}
}

// Count is the number of signatures of the families.
func Count(families []Family) (n int) {
	for _, f := range families {
		n += len(f.Signatures)
	}
	return n
}
