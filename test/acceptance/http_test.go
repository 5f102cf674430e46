package acceptance

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/colliehq/collie/internal/testkit/launch"
)

// awaitLimit is when waiting counts as hanging.
const awaitLimit = time.Minute

func request(ctx context.Context, method, url string) (int, string, error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, http.NoBody)
	if err != nil {
		return 0, "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", err
	}
	body, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body), errors.Join(err, resp.Body.Close())
}

// cmdGet prints the body of a URL; a status of 400 or more is a failure.
func cmdGet(ts *testscript.TestScript, _ *stage, args []string) error {
	return show(ts, http.MethodGet, args)
}

// cmdPost does the same by POST.
func cmdPost(ts *testscript.TestScript, _ *stage, args []string) error {
	return show(ts, http.MethodPost, args)
}

func show(ts *testscript.TestScript, method string, args []string) error {
	if len(args) != 1 {
		return usageError("get|post URL")
	}
	status, body, err := request(context.Background(), method, args[0])
	if err != nil {
		return err
	}
	fmt.Fprint(ts.Stdout(), body)
	if status >= http.StatusBadRequest {
		fmt.Fprintf(ts.Stderr(), "%d\n", status)
		return fmt.Errorf("%s %s: %d %s", method, args[0], status, strings.TrimSpace(body))
	}
	return nil
}

// cmdAwait asks a URL until its answer matches.
func cmdAwait(_ *testscript.TestScript, s *stage, args []string) error {
	if len(args) != 2 {
		return usageError("await URL REGEXP")
	}
	want, err := regexp.Compile("(?m)" + args[1])
	if err != nil {
		return usageError(err.Error())
	}
	ctx, cancel := context.WithTimeout(context.Background(), awaitLimit)
	defer cancel()
	err = launch.Await(ctx, args[0], func(ctx context.Context) error {
		status, body, err := request(ctx, http.MethodGet, args[0])
		if err == nil && !want.MatchString(body) {
			return fmt.Errorf("no match for %s in answer %d: %s", args[1], status, body)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("%w\n%s", err, s.logs())
	}
	return nil
}

// cmdMark remembers the time under a name.
func cmdMark(_ *testscript.TestScript, s *stage, args []string) error {
	if len(args) != 1 {
		return usageError("mark NAME")
	}
	s.marks[args[0]] = time.Now()
	return nil
}

// cmdFigure prints how long ago a mark was, as a figure.
func cmdFigure(ts *testscript.TestScript, s *stage, args []string) error {
	if len(args) != 2 {
		return usageError("figure NAME MARK")
	}
	ts.Logf("figure %s %.3f seconds", args[0], time.Since(s.marks[args[1]]).Seconds())
	return nil
}

// cmdDowntime reads the CSV of "collie downtimes" and holds the only downtime
// of the target against two marks, each to within a tolerance.
func cmdDowntime(ts *testscript.TestScript, s *stage, args []string) error {
	if len(args) != 5 {
		return usageError("downtime FILE.csv TARGET FROM-MARK TO-MARK TOLERANCE")
	}
	tolerance, err := time.ParseDuration(args[4])
	if err != nil {
		return usageError(err.Error())
	}
	rows, err := csv.NewReader(strings.NewReader(ts.ReadFile(args[0]))).ReadAll()
	if err != nil {
		return err
	}
	found, err := onlyDowntime(rows, args[1])
	if err != nil {
		return err
	}
	for column, mark := range map[string]string{"from": args[2], "to": args[3]} {
		at, err := time.Parse(time.RFC3339Nano, found[column])
		if err != nil {
			return err
		}
		off := at.Sub(s.marks[mark])
		ts.Logf("figure watch.%s_%s_off %.3f seconds", args[1], column, off.Seconds())
		if off.Abs() > tolerance {
			return fmt.Errorf("%s of %s is %s, %s away from what happened", column, args[1], found[column], off)
		}
	}
	return nil
}

func onlyDowntime(rows [][]string, target string) (map[string]string, error) {
	var found []map[string]string
	for _, row := range rows[1:] {
		named := map[string]string{}
		for i, name := range rows[0] {
			named[name] = row[i]
		}
		if named["target"] == target {
			found = append(found, named)
		}
	}
	if len(found) != 1 {
		return nil, fmt.Errorf("%d downtimes of %s, want 1: %v", len(found), target, rows)
	}
	return found[0], nil
}
