package acceptance

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// cmdDeliver posts a file to a hook, as GitLab does and signed as a generic hook
// asks, and wants the status. The id that is answered goes to $DELIVERY.
func cmdDeliver(ts *testscript.TestScript, _ *stage, args []string) error {
	if len(args) != 5 {
		return usageError("deliver STATUS URL SECRETFILE KEY BODYFILE")
	}
	want, err := strconv.Atoi(args[0])
	if err != nil {
		return usageError(err.Error())
	}
	secret, body := strings.TrimSpace(ts.ReadFile(args[2])), []byte(ts.ReadFile(args[4]))
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, args[1], bytes.NewReader(body))
	if err != nil {
		return err
	}
	sum := hmac.New(sha256.New, []byte(secret))
	sum.Write(body)
	for header, value := range map[string]string{
		"X-Gitlab-Token": secret, "X-Gitlab-Event": "Job Hook", "Idempotency-Key": args[3],
		"X-Signature": hex.EncodeToString(sum.Sum(nil)), "X-Key": args[3], "Content-Type": "application/json",
	} {
		req.Header.Set(header, value)
	}
	begin := time.Now()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	ts.Logf("%d after %s: %s", resp.StatusCode, time.Since(begin).Round(time.Millisecond), answer)
	if resp.StatusCode != want {
		return fmt.Errorf("%s: %d, want %d", args[1], resp.StatusCode, want)
	}
	fmt.Fprint(ts.Stdout(), string(answer))
	var told struct {
		ID string `json:"id"`
	}
	if json.Unmarshal(answer, &told) == nil && told.ID != "" {
		ts.Setenv("DELIVERY", told.ID)
	}
	return nil
}
