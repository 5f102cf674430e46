package rabbitmq

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/colliehq/collie/internal/queue"
	"github.com/colliehq/collie/internal/testkit/rabbit"
)

func TestDrift(t *testing.T) {
	b := rabbit.ForTest(t)
	c := configFor(b.URL())
	q := open(t, c)
	if _, err := q.Drift(t.Context()); !errors.Is(err, ErrNoManagement) {
		t.Errorf("error %v", err)
	}
	q.cfg.ManagementURL = b.ManagementURL()
	must(t, q.Declare(t.Context(), queue.Subscription{Topic: "a", Name: "a1"}, queue.Subscription{Topic: "a", Name: "a2"}))
	wantDrift(t, q)
	n, exchange := q.names("a1"), q.exchange("a")
	must(t, q.ask(t.Context(), func(ch *amqp.Channel) error {
		_, err := ch.QueueDelete(n.parked, false, false, false)
		if err == nil {
			_, err = ch.QueueDelete(n.spilled, false, false, false)
		}
		if err == nil {
			_, err = ch.QueueDeclare(n.spilled, true, false, false, false, amqp.Table{"x-queue-type": "quorum", "x-delivery-limit": 5})
		}
		if err == nil {
			err = ch.QueueUnbind(n.main, now, exchange, nil)
		}
		return err
	}))
	wantDrift(t, q,
		"queue "+n.parked+" is missing",
		"queue "+n.spilled+" has x-delivery-limit 5, not 1000000000",
		"queue "+n.main+" is not bound to "+exchange+" with the key now: it gets nothing")
}

// wantDrift waits: the management API tells of changes a little later.
func wantDrift(t *testing.T, q *Queue, want ...string) {
	t.Helper()
	slices.Sort(want)
	var got []string
	for begin := time.Now(); time.Since(begin) < hang; time.Sleep(100 * time.Millisecond) {
		var err error
		got, err = q.Drift(t.Context())
		must(t, err)
		if slices.Sort(got); cmp.Equal(got, want) || len(got)+len(want) == 0 {
			return
		}
	}
	t.Errorf("drift (-want +got):\n%s", cmp.Diff(want, got))
}

func TestValidate(t *testing.T) {
	good := Default()
	good.Validate(func(path, format string, args ...any) { t.Errorf("%s: %s", path, fmt.Sprintf(format, args...)) })
	bad := Config{
		URLs: []string{"http://x", "amqp://u:p@x", "amqp://x/vhost", "amqp://"}, ManagementURL: "amqp://x", Prefix: "a b",
		TLS: TLS{CertFile: "c"}, ConfirmTimeout: time.Millisecond, DialTimeout: time.Second, Heartbeat: time.Hour,
	}
	var got []string
	bad.Validate(func(path, _ string, _ ...any) { got = append(got, path) })
	slices.Sort(got)
	want := []string{"confirm_timeout", "heartbeat", "management_url", "prefix", "tls", "urls[0]", "urls[1]", "urls[2]", "urls[3]", "vhost"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("mistakes (-want +got):\n%s", diff)
	}
}

func TestDialTellsNoSecretAndTriesEveryHost(t *testing.T) {
	file := filepath.Join(t.TempDir(), "password")
	must(t, os.WriteFile(file, []byte("hunter2\n"), 0o600))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	closed := l.Addr().String()
	must(t, l.Close())
	c := configFor("amqp://"+closed, "amqps://"+closed)
	c.PasswordFile, c.DialTimeout = file, time.Second
	q := open(t, c)
	err = q.Declare(t.Context(), queue.Subscription{Topic: "a", Name: "a1"})
	if err == nil {
		t.Fatal("connected to nobody")
	}
	for _, word := range []string{"amqp://" + closed, "amqps://" + closed} {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("%v does not name %s", err, word)
		}
	}
	if strings.Contains(err.Error(), "hunter2") {
		t.Errorf("%v tells the password", err)
	}
}

func TestTLSFilesAreRead(t *testing.T) {
	if c, err := (TLS{}).config(); err != nil || c.MinVersion != tls.VersionTLS12 {
		t.Errorf("%v, %v", c, err)
	}
	file := filepath.Join(t.TempDir(), "ca.pem")
	must(t, os.WriteFile(file, []byte("nonsense"), 0o600))
	if _, err := (TLS{CAFile: file}).config(); err == nil {
		t.Error("nonsense is no certificate")
	}
	if _, err := (TLS{CertFile: file, KeyFile: file}).config(); err == nil {
		t.Error("nonsense is no key pair")
	}
}
