package alerting

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"testing"
	"time"
)

func request(t testing.TB, method, url, body string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(context.Background(), method, url, bytes.NewReader([]byte(body)))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}

func postSilence(t testing.TB, url, target string, want int) (id string) {
	t.Helper()
	body, err := json.Marshal(map[string]any{
		"matchers": []any{map[string]any{"name": "target", "value": target, "isRegex": false, "isEqual": true}},
		"startsAt": time.Now(), "endsAt": time.Now().Add(time.Hour), "createdBy": "test", "comment": "test",
	})
	if err != nil {
		t.Fatal(err)
	}
	code, text := request(t, http.MethodPost, url+"alertmanager/api/v2/silences", string(body))
	if code != want {
		t.Fatalf("POST silence: %d %s, want %d", code, text, want)
	}
	var answer struct{ SilenceID string }
	if code == http.StatusOK {
		if err := json.Unmarshal([]byte(text), &answer); err != nil || answer.SilenceID == "" {
			t.Fatalf("POST silence: %s", text)
		}
	}
	return answer.SilenceID
}

func deleteSilence(t testing.TB, url, id string, want int) {
	t.Helper()
	if code, text := request(t, http.MethodDelete, url+"alertmanager/api/v2/silence/"+id, ""); code != want {
		t.Fatalf("DELETE silence: %d %s, want %d", code, text, want)
	}
}

func silenceState(t testing.TB, url, id string) string {
	t.Helper()
	code, text := request(t, http.MethodGet, url+"alertmanager/api/v2/silence/"+id, "")
	var s struct{ Status struct{ State string } }
	if err := json.Unmarshal([]byte(text), &s); err != nil || code != http.StatusOK {
		t.Fatalf("GET silence: %d %s", code, text)
	}
	return s.Status.State
}
