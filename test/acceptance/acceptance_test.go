// Package acceptance runs the stories: the real binary, as its user runs it,
// against real servers. A story is a testscript file NAME.txtar; it stands
// alone and ends every process that it started.
package acceptance

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	s3test "github.com/colliehq/collie/internal/testkit/s3"
)

// Each story may take this long, from when it begins, before it counts as
// hanging; wall-clock bounds are guards, not expectations.
const storyLimit = 10 * time.Minute

// binaries are what the stories run, built once.
var binaries = map[string]string{
	"collie":      "github.com/colliehq/collie/cmd/collie",
	"chaos-main":  "github.com/colliehq/collie/test/chaos/main",
	"chaos-irc":   "github.com/colliehq/collie/test/chaos/irc",
	"chaos-queue": "github.com/colliehq/collie/test/chaos/queue",
}

func TestStories(t *testing.T) {
	bin := t.TempDir()
	for name, pkg := range binaries {
		out, err := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(bin, name), pkg).CombinedOutput()
		if err != nil {
			t.Fatalf("go build %s: %v\n%s", pkg, err, out)
		}
	}
	stories, err := filepath.Glob("*.txtar")
	if err != nil || len(stories) == 0 {
		t.Fatalf("no stories: %v", err)
	}
	for _, story := range stories {
		t.Run(strings.TrimSuffix(story, ".txtar"), func(t *testing.T) {
			t.Parallel()
			tell(t, story, bin)
		})
	}
}

// tell runs one story.
func tell(t *testing.T, story, bin string) {
	begun := time.Now()
	defer func() {
		if took := time.Since(begun); took >= storyLimit && t.Failed() {
			t.Logf("the story was ended: its limit is %v, it took %v", storyLimit, took.Round(time.Second))
		}
	}()
	testscript.RunT(one{t}, testscript.Params{
		Files:               []string{story},
		RequireExplicitExec: true,
		Deadline:            begun.Add(storyLimit),
		Setup: func(env *testscript.Env) error {
			env.Setenv("PATH", bin+string(os.PathListSeparator)+os.Getenv("PATH"))
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("COLLIE_BINARY", filepath.Join(bin, "collie"))
			env.Setenv("CI", os.Getenv("CI"))
			s := newStage(env)
			env.Values[stageKey{}] = s
			env.Defer(s.clear)
			return nil
		},
		Condition: condition,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"port": command(cmdPort), "web": command(cmdWeb), "start": command(cmdStart), "sig": command(cmdSig), "gone": command(cmdGone),
			"await": command(cmdAwait), "get": command(cmdGet), "post": command(cmdPost), "mark": command(cmdMark),
			"downtime": command(cmdDowntime), "pinger": command(cmdPinger), "figure": command(cmdFigure), "fill": command(cmdFill), "irc": command(cmdIRC), "ircd": command(cmdIRCd),
			"disk":  command(cmdDisk),
			"rules": command(cmdRules), "rabbitmq": command(cmdRabbitMQ),
			"beaker": command(cmdBeaker), "mounts": command(cmdMounts),
			"s3":      command(cmdS3),
			"deliver": command(cmdDeliver),
			"nfsd":    command(cmdNFSd), "samesize": command(cmdSameSize),
		},
	})
}

// one runs the story as the test that it is given. By itself, testscript would
// make a test of each, and all of them would share a deadline.
type one struct{ *testing.T }

func (one) Parallel()                            {}
func (o one) Run(_ string, f func(testscript.T)) { f(o) }
func (one) Verbose() bool                        { return testing.Verbose() }

// condition knows [have:PROGRAM], which is false only outside of CI: there a
// missing program fails the story. [root] is the same about who runs it.
func condition(name string) (bool, error) {
	if name == "root" {
		if root := os.Getuid() == 0; root || os.Getenv("CI") != "true" {
			return root, nil
		}
		return false, errors.New("this story needs root")
	}
	program, ok := strings.CutPrefix(name, "have:")
	if !ok {
		return false, fmt.Errorf("unknown condition %q", name)
	}
	if program == "versitygw" && s3test.Program() != "" {
		return true, nil // built by test/install, outside of the PATH
	}
	_, err := exec.LookPath(program)
	if err != nil && os.Getenv("CI") == "true" {
		return false, fmt.Errorf("%s is not installed: run make tools", program)
	}
	return err == nil, nil
}

// command adapts a command that answers with an error, and turns around what
// it says when the script asks for failure.
func command(f func(*testscript.TestScript, *stage, []string) error) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		s, _ := ts.Value(stageKey{}).(*stage)
		err := f(ts, s, args)
		var usage usageError
		switch {
		case errors.As(err, &usage):
			ts.Fatalf("usage: %s", string(usage))
		case neg && err == nil:
			ts.Fatalf("unexpected success")
		case !neg && err != nil:
			ts.Fatalf("%v", err)
		}
	}
}

// usageError is a command that is written wrongly; it fails the story even
// behind "!".
type usageError string

func (e usageError) Error() string { return "usage: " + string(e) }
