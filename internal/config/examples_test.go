package config

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/colliehq/collie/internal/strictyaml"
)

const root = "../.."

// Every shipped example is a configuration without mistakes, or a module file
// that one of them uses. So is what stands in one as a comment.
func TestExamples(t *testing.T) {
	used := map[string]bool{}
	var modules []string
	for _, file := range unpack(t, glob(t, root+"/examples/*.yml")) {
		if strings.Contains(mustRead(t, file), "\nmodules:\n") {
			modules = append(modules, file)
			continue
		}
		t.Run(filepath.Base(file), func(t *testing.T) {
			c, told := Load(file, os.LookupEnv, kinds())
			if err := told.Err(); err != nil {
				t.Fatal(err)
			}
			used[c.Exporters.ModulesFile] = true
		})
	}
	for _, file := range modules {
		if !used[file] {
			t.Errorf("no example uses the module file %s", file)
		}
	}
}

var (
	secretFile = regexp.MustCompile(`[\w-]+\.(secret|token|password|id|key)\b`)
	rabbitHint = regexp.MustCompile(`(?s)\nqueue: \{engine: sqlite\}\n.*# queue:`)
)

// unpack puts the examples into a folder in which the secrets that they name
// are. One that shows another queue as a comment is there in both forms.
func unpack(t *testing.T, files []string) (unpacked []string) {
	t.Helper()
	folder := t.TempDir()
	put := func(name, text string) string {
		file := filepath.Join(folder, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	for _, file := range files {
		text := mustRead(t, file)
		for _, name := range secretFile.FindAllString(text, -1) {
			put(name, "secret\n")
		}
		unpacked = append(unpacked, put(filepath.Base(file), text))
		if at := rabbitHint.FindStringIndex(text); at != nil {
			other := text[:at[0]] + "\nqueue:" + strings.ReplaceAll(text[at[1]:], "\n# ", "\n")
			unpacked = append(unpacked, put("broker-"+filepath.Base(file), other))
		}
	}
	return unpacked
}

// The full example has a target for each exporter that looks at a service of
// its own kind.
func TestFullExampleShowsEachKind(t *testing.T) {
	shown := map[string]bool{}
	for _, match := range regexp.MustCompile(`(?m)^    probe: (\w+)`).FindAllStringSubmatch(mustRead(t, root+"/examples/full.yml"), -1) {
		shown[match[1]] = true
	}
	for _, module := range []string{"nfs", "s3", "s3_canary", "rabbitmq", "beaker", "beaker_systems"} {
		if !shown[module] {
			t.Errorf("examples/full.yml has no target for %s", module)
		}
	}
}

var fence = regexp.MustCompile("(?ms)^```yaml\n(.*?)^```")

// What the documentation shows as a collie.yml can be pasted as it is.
func TestDocumentedConfigurations(t *testing.T) {
	for _, file := range append(glob(t, root+"/docs/*.md"), filepath.Join(mustAbs(t, root), "README.md")) {
		blocks := fence.FindAllStringSubmatch(mustRead(t, file), -1)
		for i, block := range blocks {
			if !strings.HasPrefix(block[1], "targets:") {
				continue
			}
			t.Run(filepath.Base(file)+string(rune('a'+i)), func(t *testing.T) {
				write(t, block[1])
				addModules(t, block[1], blocks)
				env := func(string) (string, bool) { return "x", true }
				if _, told := Load("", env, kinds()); len(told) > 0 {
					t.Errorf("%s\n%s", told.Error(), block[1])
				}
			})
		}
	}
}

// addModules writes the modules that the same page shows, and names their file
// in the configuration.
func addModules(t *testing.T, configuration string, blocks [][]string) {
	t.Helper()
	text := ""
	for _, block := range blocks {
		if modules, ok := strings.CutPrefix(block[1], "modules:\n"); ok {
			text += modules
		}
	}
	if text == "" || strings.Contains(configuration, "modules_file:") {
		return
	}
	const name = "shown.yml"
	if err := os.WriteFile(name, []byte("modules:\n"+text), 0o600); err != nil {
		t.Fatal(err)
	}
	configuration += "modules_file: " + name + "\n"
	if err := os.WriteFile(DefaultFile, []byte(configuration), 0o600); err != nil {
		t.Fatal(err)
	}
}

func mustAbs(t *testing.T, path string) string {
	t.Helper()
	abs, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return abs
}

var documented = regexp.MustCompile("(?m)^\\| `([^`]+)` \\|")

// The reference has a row for every key that the program accepts, and no other.
func TestReferenceIsComplete(t *testing.T) {
	rows := map[string]bool{}
	for _, row := range documented.FindAllStringSubmatch(mustRead(t, root+"/docs/configuration.md"), -1) {
		rows[row[1]] = true
	}
	for _, key := range strictyaml.KeysOf(Config{}) {
		if !rows[key] {
			t.Errorf("docs/configuration.md has no row for %s", key)
		}
		delete(rows, key)
	}
	for key := range rows {
		t.Errorf("docs/configuration.md tells of %s, which does not exist", key)
	}
}
