package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"github.com/colliehq/collie/signatures"
	"github.com/colliehq/collie/signatures/show"
)

// signatures is the group of commands about what failures look like.
func (a *app) signatures(k *kingpin.Application) []command {
	c := k.Command("signatures", "What failures look like: signatures as tested data.")
	var paths []string
	c.Flag("signatures", "A file or folder of signatures beside the shipped ones; repeatable. Without it, those of the configuration.").
		PlaceHolder("PATH").StringsVar(&paths)
	return []command{a.signaturesLint(c, &paths), a.signaturesTest(c, &paths), a.signaturesClassify(c, &paths)}
}

// families are the shipped ones, and those of the paths, or of the configuration
// if there are none.
func (a *app) families(paths []string) ([]signatures.Family, error) {
	if len(paths) == 0 {
		set, done := a.exporters(slog.New(slog.DiscardHandler), nil)
		defer done()
		c, err := a.load(set.Kinds())
		if err != nil {
			return nil, err
		}
		paths = c.Signatures.Files
	}
	return signatures.Load(paths...)
}

func (a *app) out(format string) show.Out {
	return show.Out{W: a.stdout, Format: format, Color: terminal(a.stdout)}
}

func (a *app) signaturesLint(k *kingpin.CmdClause, paths *[]string) command {
	c := k.Command("lint", "Look for what is wrong, doubtful or slow; exit code 1 if something is wrong.")
	clean := c.Flag("clean", "A log in which nothing failed: no signature that asks for a retry may match it; repeatable.").
		PlaceHolder("FILE").ExistingFiles()
	output := outputFlag(c, show.Text, show.JSON)
	return command{c, func(context.Context) error {
		families, err := a.families(*paths)
		if err != nil {
			return err
		}
		var logs []signatures.Corpus
		for _, name := range *clean {
			text, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			logs = append(logs, signatures.Corpus{Name: name, Text: text})
		}
		remarks, err := signatures.Lint(families, time.Now(), logs)
		if err != nil {
			return err
		}
		return said(a.out(*output).Remarks(remarks, signatures.Count(families)))
	}}
}

func (a *app) signaturesTest(k *kingpin.CmdClause, paths *[]string) command {
	c := k.Command("test", "Hold every signature against the samples of all; exit code 1 if one is not taken as it should be.")
	output := outputFlag(c, show.Text, show.JSON)
	return command{c, func(context.Context) error {
		families, err := a.families(*paths)
		if err != nil {
			return err
		}
		proof, err := signatures.Prove(families)
		if err != nil {
			return err
		}
		return said(a.out(*output).Proof(proof))
	}}
}

func (a *app) signaturesClassify(k *kingpin.CmdClause, paths *[]string) command {
	c := k.Command("classify", "Say what the log of a failed job tells; exit code 1 if nothing is recognised.")
	file := c.Arg("file", "The log; - is the standard input.").Required().String()
	var job signatures.Job
	c.Flag("job", "Name of the job, for signatures that look at some jobs only.").PlaceHolder("NAME").StringVar(&job.Name)
	c.Flag("stage", "Stage of the job.").PlaceHolder("NAME").StringVar(&job.Stage)
	c.Flag("runner", "Description of the runner.").PlaceHolder("TEXT").StringVar(&job.Runner)
	c.Flag("failure-reason", "Why GitLab says that it failed, as runner_system_failure.").PlaceHolder("REASON").StringVar(&job.FailureReason)
	code := c.Flag("exit-code", "Exit code of the job.").PlaceHolder("N").Default("-1").Int()
	output := outputFlag(c, show.Text, show.JSON)
	return command{c, func(context.Context) error {
		if *code >= 0 {
			job.ExitCode = code
		}
		families, err := a.families(*paths)
		if err != nil {
			return err
		}
		if *file == "" || *file == "-" { // kingpin takes a lone hyphen for an empty word
			*file = standardInput
		}
		v, err := classify(families, *file, job)
		if err != nil {
			return err
		}
		return said(v.Best != nil, a.out(*output).Verdict(*file, v))
	}}
}

const standardInput = "standard input"

func classify(families []signatures.Family, file string, job signatures.Job) (v signatures.Verdict, err error) {
	set, err := signatures.Compile(families, time.Now())
	if err != nil {
		return v, err
	}
	var log io.Reader = os.Stdin
	if file != standardInput {
		f, err := os.Open(file)
		if err != nil {
			return v, err
		}
		defer f.Close()
		log = f
	}
	c := set.Classifier(job)
	if _, err := io.CopyBuffer(c, struct{ io.Reader }{log}, make([]byte, 128<<10)); err != nil {
		return v, fmt.Errorf("read %s: %w", file, err)
	}
	return c.Verdict(), nil
}

// said is the error of a command that has told what it found, good or bad.
func said(ok bool, err error) error {
	if err == nil && !ok {
		return errSaid
	}
	return err
}
