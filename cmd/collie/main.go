// Command collie watches what a service depends on, barks where people listen,
// and herds failed CI jobs back. This package is flags, configuration and
// wiring; what it does is in the rooms.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	_ "time/tzdata" // --tz works where the system has no time zones, as in a container

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/common/promslog"
	promflag "github.com/prometheus/common/promslog/flag"
	"github.com/prometheus/common/version"

	"github.com/colliehq/collie/exporters/local"
)

func main() {
	local.MaybeHelper()        // does not return in a process that only asks for the size of a mount
	if version.Version == "" { // not made by make build: amtool and Grafana ask for one
		version.Version = "0.0.0-dev"
	}
	os.Exit(run(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
}

// errSaid is an error that the command has told already.
var errSaid = errors.New("said")

// exit codes: 1 for what the command found or could not do, 2 for a call that
// is not understood.
const (
	exitFailure = 1
	exitUsage   = 2
)

// app is what every command gets.
type app struct {
	stdout, stderr io.Writer
	configFile     string
	logging        promslog.Config
}

// command is one verb of the program: its flags are bound when it is made.
type command struct {
	clause *kingpin.CmdClause
	run    func(context.Context) error
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	a := &app{stdout: stdout, stderr: stderr, logging: promslog.Config{}}
	a.logging.Writer = stderr
	k := kingpin.New("collie", "Collie watches what your service depends on, barks where people listen, and herds failed CI jobs back.")
	k.Version(version.Print("collie")).UsageWriter(stdout).ErrorWriter(stderr)
	k.HelpFlag.Short('h')
	k.Flag("config.file", "Configuration file. Without it ./collie.yml, and where that is absent, built-in defaults.").
		PlaceHolder("FILE").StringVar(&a.configFile)
	promflag.AddFlags(k, &a.logging)

	commands := []command{a.up(k), a.check(k), a.probe(k), a.status(k), a.downtimes(k), a.why(k)}
	commands = append(append(commands, a.queue(k)...), a.doctor(k))
	commands = append(commands, a.signatures(k)...)
	chosen, code, err := parse(k, args)
	if code != nil {
		return *code
	}
	if err != nil {
		fmt.Fprintf(stderr, "collie: %v; try collie --help\n", err)
		return exitUsage
	}
	for _, c := range commands {
		if c.clause.FullCommand() == chosen {
			return exitCode(c.run(ctx), stderr)
		}
	}
	return exitUsage
}

// terminated is what parsing panics with when --help or --version have said all.
type terminated int

// parse reads the flags. code is set if nothing is left to do.
func parse(k *kingpin.Application, args []string) (chosen string, code *int, err error) {
	defer func() {
		if p := recover(); p != nil {
			status, ok := p.(terminated)
			if !ok {
				panic(p)
			}
			code = new(int(status))
		}
	}()
	k.Terminate(func(status int) { panic(terminated(status)) })
	chosen, err = k.Parse(args)
	return chosen, nil, err
}

func exitCode(err error, stderr io.Writer) int {
	switch {
	case err == nil:
		return 0
	case !errors.Is(err, errSaid):
		fmt.Fprintf(stderr, "collie: %v\n", err)
	}
	return exitFailure
}
