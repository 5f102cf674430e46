package file

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Glob lists the files that match a pattern of path.Match, in which a part "**"
// stands for any number of folders. What cannot be read is left out; the errors
// are told beside what was found.
func Glob(pattern string) (paths []string, err error) {
	root, rest := fixed(pattern)
	g := &glob{}
	g.walk(root, rest)
	slices.Sort(g.found)
	return slices.Compact(g.found), errors.Join(g.errs...)
}

// Match reports whether a path matches a pattern of Glob.
func Match(pattern, path string) bool {
	return match(strings.Split(filepath.Clean(pattern), "/"), strings.Split(path, "/"))
}

func match(pattern, path []string) bool {
	if len(pattern) == 0 || len(path) == 0 {
		return len(pattern) == len(path)
	}
	if pattern[0] == "**" && (match(pattern[1:], path) || match(pattern, path[1:])) {
		return true
	}
	ok, err := filepath.Match(pattern[0], path[0])
	return ok && err == nil && match(pattern[1:], path[1:])
}

// ValidGlob reports what is wrong with a pattern.
func ValidGlob(pattern string) error {
	for part := range strings.SplitSeq(pattern, "/") {
		if _, err := filepath.Match(part, ""); err != nil {
			return errors.New("the pattern has a [ without its ], or ends in a backslash")
		}
	}
	return nil
}

type glob struct {
	found []string
	errs  []error
}

// fixed cuts a pattern into the folder before its first wildcard and the parts
// from there.
func fixed(pattern string) (root string, rest []string) {
	parts := strings.Split(filepath.Clean(pattern), "/")
	for i, p := range parts {
		if i == len(parts)-1 || strings.ContainsAny(p, `*?[\`) {
			root = strings.Join(parts[:i], "/")
			if root == "" && filepath.IsAbs(pattern) {
				root = "/"
			}
			return root, parts[i:]
		}
	}
	return pattern, nil
}

func (g *glob) walk(dir string, rest []string) {
	if len(rest) > 1 && rest[0] == "**" {
		g.walk(dir, rest[1:])
	}
	if len(rest) == 1 && !strings.ContainsAny(rest[0], `*?[\`) {
		g.file(filepath.Join(dir, rest[0]))
		return
	}
	entries, err := os.ReadDir(cmpOr(dir, "."))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		g.errs = append(g.errs, err)
	}
	for _, e := range entries {
		g.entry(filepath.Join(dir, e.Name()), e, rest)
	}
}

func (g *glob) entry(path string, e fs.DirEntry, rest []string) {
	if rest[0] == "**" {
		if e.IsDir() { // not through links, which may lead back
			g.walk(path, rest)
		} else if len(rest) == 1 {
			g.file(path)
		}
		return
	}
	ok, err := filepath.Match(rest[0], e.Name())
	switch {
	case err != nil || !ok:
	case len(rest) == 1:
		if !e.IsDir() {
			g.file(path)
		}
	case e.IsDir() || e.Type()&fs.ModeSymlink != 0:
		g.walk(path, rest[1:])
	}
}

// file takes what is, or leads to, a regular file.
func (g *glob) file(path string) {
	if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
		g.found = append(g.found, path)
	}
}

func cmpOr(dir, other string) string {
	if dir == "" {
		return other
	}
	return dir
}

// Packed reports whether the name says that the file is compressed.
func Packed(path string) bool {
	return slices.Contains([]string{".gz", ".xz", ".bz2", ".zst", ".Z", ".lz4"}, filepath.Ext(path))
}

// Find lists the candidates of a pattern. Files that are gone meanwhile are left
// out.
func Find(pattern string, source int) (found []Candidate, err error) {
	paths, err := Glob(pattern)
	for _, p := range paths {
		info, failed := os.Stat(p)
		if failed != nil {
			continue
		}
		k, failed := keyOf(p, info, -1)
		if failed != nil {
			continue
		}
		found = append(found, Candidate{Path: p, Key: k, Size: info.Size(), ModTime: info.ModTime().UnixNano(), Source: source})
	}
	return found, err
}
