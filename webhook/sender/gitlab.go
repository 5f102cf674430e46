package sender

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/colliehq/collie/internal/secret"
	"github.com/colliehq/collie/signal"
	"github.com/colliehq/collie/webhook/proof"
)

// GitLab posts project, group and system hooks. It pauses a hook after four
// answers that are not 2xx
// (https://docs.gitlab.com/user/project/integrations/webhooks/).
func GitLab() Sender {
	return Sender{
		Name: "gitlab", MaxBody: 25 << 20, Uses: []string{"secret_files", "window"},
		Keep:  []string{"X-Gitlab-Event", "X-Gitlab-Event-UUID", "X-Gitlab-Instance", "X-Gitlab-Webhook-UUID", "Idempotency-Key", "Webhook-Id", "Webhook-Timestamp"},
		Prove: proveGitLab, Key: keyGitLab, Read: readGitLab,
	}
}

// proveGitLab takes the secret token of a hook as it is, and signing tokens,
// which begin with whsec_.
func proveGitLab(s Settings) (proof.Proof, error) {
	var plain, signing []secret.Text
	for _, one := range s.Secrets {
		if strings.HasPrefix(one.Reveal(), proof.SecretPrefix) {
			signing = append(signing, one)
		} else {
			plain = append(plain, one)
		}
	}
	all := s.proofs()
	if len(signing) > 0 {
		p, err := proof.NewStandard(signing, s.Window)
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	if len(plain) > 0 {
		all = append(all, proof.Token{Header: "X-Gitlab-Token", Tokens: plain})
	}
	return all, nil
}

// keyGitLab is the Idempotency-Key, which GitLab sends since 17.4 and keeps on
// every retry and resend. Before that no header is unique to an event, so that
// the event and its body are the key.
func keyGitLab(_ Settings, h http.Header, body []byte) Key {
	return byHeader(h, "Idempotency-Key", []byte(h.Get("X-Gitlab-Event")), body)
}

// gitLabEvent holds what matters of job and pipeline events
// (https://docs.gitlab.com/user/project/integrations/webhook_events/). Their
// statuses and reasons are open sets.
type gitLabEvent struct {
	Kind          string    `json:"object_kind"`
	Ref           string    `json:"ref"`
	SHA           string    `json:"sha"`
	BuildID       int64     `json:"build_id"`
	BuildName     string    `json:"build_name"`
	BuildStage    string    `json:"build_stage"`
	BuildStatus   string    `json:"build_status"`
	BuildStarted  looseTime `json:"build_started_at"`
	BuildFinished looseTime `json:"build_finished_at"`
	FailureReason string    `json:"build_failure_reason"`
	AllowFailure  bool      `json:"build_allow_failure"`
	Retries       *int64    `json:"retries_count"`
	PipelineID    int64     `json:"pipeline_id"`
	ProjectID     int64     `json:"project_id"`
	ProjectName   string    `json:"project_name"`
	Project       struct {
		ID     int64  `json:"id"`
		Path   string `json:"path_with_namespace"`
		WebURL string `json:"web_url"`
	} `json:"project"`
	Repository struct {
		Homepage string `json:"homepage"`
	} `json:"repository"`
	Attributes struct {
		ID       int64     `json:"id"`
		Ref      string    `json:"ref"`
		SHA      string    `json:"sha"`
		Status   string    `json:"status"`
		Source   string    `json:"source"`
		URL      string    `json:"url"`
		Created  looseTime `json:"created_at"`
		Finished looseTime `json:"finished_at"`
	} `json:"object_attributes"`
}

func readGitLab(d Delivery) (Meaning, error) {
	var e gitLabEvent
	if err := json.Unmarshal(d.Body, &e); err != nil {
		return Meaning{}, fmt.Errorf("event of GitLab: %w", err)
	}
	switch e.Kind {
	case "":
		return Meaning{}, errors.New("event of GitLab: object_kind is missing; is the sender a GitLab without a webhook template?")
	case "build":
		return e.job(d)
	case "pipeline":
		return e.pipeline(d)
	}
	return Meaning{Text: "GitLab event " + word(e.Kind) + ", which means no signal"}, nil
}

// ended lists the statuses in which a job or pipeline of GitLab stays.
func ended(status string) bool {
	switch status {
	case "success", "failed", "canceled", "skipped":
		return true
	}
	return false
}

func (e gitLabEvent) job(d Delivery) (Meaning, error) {
	if e.BuildID == 0 || e.BuildStatus == "" {
		return Meaning{}, errors.New("job event of GitLab: build_id or build_status is missing")
	}
	what := fmt.Sprintf("GitLab job %d (%s) of %s: %s", e.BuildID, word(e.BuildName), word(e.path()), word(e.BuildStatus))
	if !ended(e.BuildStatus) {
		return Meaning{Text: what + ", which is not its end"}, nil
	}
	host := hostOf(e.Project.WebURL, e.Repository.Homepage, d.Header.Get("X-Gitlab-Instance"))
	labels := map[string]string{
		"name": e.BuildName, "stage": e.BuildStage, "status": e.BuildStatus, "project": e.path(), "project_id": number(e.ProjectID),
		"pipeline_id": number(e.PipelineID), "ref": e.Ref, "failure_reason": e.failure(),
	}
	notes := map[string]string{"summary": what, "sha": e.SHA}
	if base := first(e.Project.WebURL, e.Repository.Homepage); base != "" {
		notes["link"] = base + "/-/jobs/" + number(e.BuildID)
	}
	if e.Retries != nil {
		notes["retries"] = number(*e.Retries)
	}
	s := jobSignal("job/"+host+"/"+number(e.BuildID), labels, notes, d.Body, essence{"build": e})
	s.Started, s.Ended = span(e.BuildStarted, e.BuildFinished)
	return Meaning{Text: what, Signals: []signal.Signal{s}}, nil
}

// failure is the reason of a job that failed; GitLab sends "unknown_failure"
// for others too.
func (e gitLabEvent) failure() string {
	if e.BuildStatus != "failed" {
		return ""
	}
	return e.FailureReason
}

func (e gitLabEvent) path() string {
	return first(e.Project.Path, strings.ReplaceAll(e.ProjectName, " / ", "/"), number(e.ProjectID))
}

func (e gitLabEvent) pipeline(d Delivery) (Meaning, error) {
	a := e.Attributes
	if a.ID == 0 || a.Status == "" {
		return Meaning{}, errors.New("pipeline event of GitLab: object_attributes has no id or no status")
	}
	what := fmt.Sprintf("GitLab pipeline %d of %s: %s", a.ID, word(e.path()), word(a.Status))
	if !ended(a.Status) {
		return Meaning{Text: what + ", which is not its end"}, nil
	}
	host := hostOf(e.Project.WebURL, d.Header.Get("X-Gitlab-Instance"))
	labels := map[string]string{
		"status": a.Status, "project": e.path(), "project_id": number(e.Project.ID), "ref": a.Ref, "source": a.Source,
	}
	notes := map[string]string{"summary": what, "sha": a.SHA, "link": a.URL}
	s := jobSignal("pipeline/"+host+"/"+number(a.ID), labels, notes, d.Body, essence{"pipeline": e})
	s.Started, s.Ended = span(a.Created, a.Finished)
	return Meaning{Text: what, Signals: []signal.Signal{s}}, nil
}
