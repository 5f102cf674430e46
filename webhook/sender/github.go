package sender

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/colliehq/collie/signal"
	"github.com/colliehq/collie/webhook/proof"
)

// GitHub posts repository, organization and app hooks. It tries each delivery
// once (https://docs.github.com/en/webhooks).
func GitHub() Sender {
	return Sender{
		Name: "github", MaxBody: 25 << 20, Uses: []string{"secret_files"},
		Keep: []string{"X-GitHub-Event", "X-GitHub-Delivery", "X-GitHub-Hook-ID", "X-GitHub-Hook-Installation-Target-Type", "X-GitHub-Enterprise-Host"},
		Prove: func(s Settings) (proof.Proof, error) {
			all := s.proofs()
			if len(s.Secrets) > 0 {
				all = append(all, proof.HMAC{Keys: s.Secrets, Header: "X-Hub-Signature-256", Prefix: "sha256="})
			}
			return all, nil
		},
		// The id of an event, which a redelivery keeps.
		Key: func(_ Settings, h http.Header, body []byte) Key {
			return byHeader(h, "X-GitHub-Delivery", []byte(h.Get("X-Github-Event")), body)
		},
		Read: readGitHub,
	}
}

// gitHubRun is what matters of a workflow_job, check_run or workflow_run.
type gitHubRun struct {
	ID         int64     `json:"id"`
	RunID      int64     `json:"run_id"`
	RunAttempt int64     `json:"run_attempt"`
	Name       string    `json:"name"`
	Workflow   string    `json:"workflow_name"`
	Status     string    `json:"status"`
	Conclusion string    `json:"conclusion"`
	HeadBranch string    `json:"head_branch"`
	HeadSHA    string    `json:"head_sha"`
	Runner     string    `json:"runner_name"`
	URL        string    `json:"html_url"`
	Started    looseTime `json:"started_at"`
	Completed  looseTime `json:"completed_at"`
	CheckSuite struct {
		HeadBranch string `json:"head_branch"`
	} `json:"check_suite"`
}

type gitHubEvent struct {
	Action      string     `json:"action"`
	WorkflowJob *gitHubRun `json:"workflow_job"`
	CheckRun    *gitHubRun `json:"check_run"`
	WorkflowRun *gitHubRun `json:"workflow_run"`
	Repository  struct {
		ID       int64  `json:"id"`
		FullName string `json:"full_name"`
		URL      string `json:"html_url"`
	} `json:"repository"`
}

func readGitHub(d Delivery) (Meaning, error) {
	event := d.Header.Get("X-Github-Event")
	var e gitHubEvent
	if err := json.Unmarshal(d.Body, &e); err != nil {
		return Meaning{}, fmt.Errorf("event of GitHub: %w; is the content type of the hook application/json?", err)
	}
	switch event {
	case "workflow_job":
		return e.ended(d, "job", event, e.WorkflowJob)
	case "check_run":
		return e.ended(d, "job", event, e.CheckRun)
	case "workflow_run":
		return e.ended(d, "pipeline", event, e.WorkflowRun)
	case "":
		return Meaning{}, errors.New("event of GitHub: the header X-GitHub-Event is missing")
	}
	return Meaning{Text: "GitHub event " + word(event) + ", which means no signal"}, nil
}

// ended makes a signal of a run that completed.
func (e gitHubEvent) ended(d Delivery, noun, event string, run *gitHubRun) (Meaning, error) {
	if run == nil || run.ID == 0 {
		return Meaning{}, fmt.Errorf("event of GitHub: %s has no id", event)
	}
	what := fmt.Sprintf("GitHub %s %d (%s) of %s: %s", event, run.ID, word(run.Name), word(e.Repository.FullName), word(first(run.Conclusion, run.Status)))
	if e.Action != "completed" {
		return Meaning{Text: what + ", which is not its end"}, nil
	}
	labels := map[string]string{
		"name": run.Name, "stage": run.Workflow, "status": run.Conclusion, "project": e.Repository.FullName, "project_id": number(e.Repository.ID),
		"pipeline_id": number(run.RunID), "ref": first(run.HeadBranch, run.CheckSuite.HeadBranch), "event": event,
	}
	notes := map[string]string{"summary": what, "sha": run.HeadSHA, "link": run.URL, "runner": run.Runner}
	host := hostOf(run.URL, e.Repository.URL)
	s := jobSignal(noun+"/"+host+"/"+number(run.ID), labels, notes, d.Body, essence{event: run, "repository": e.Repository.FullName})
	s.Started, s.Ended = span(run.Started, run.Completed)
	return Meaning{Text: what, Signals: []signal.Signal{s}}, nil
}
