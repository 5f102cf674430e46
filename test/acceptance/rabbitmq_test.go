package acceptance

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/colliehq/collie/internal/testkit/launch"
	"github.com/colliehq/collie/internal/testkit/rabbit"
	"github.com/colliehq/collie/internal/testkit/rabbitload"
)

// brokerLimit is when waiting for a broker counts as hanging: starting one
// takes half a minute on a busy machine.
const brokerLimit = 5 * time.Minute

// broker is a real RabbitMQ and what fills it.
type broker struct {
	*rabbit.Broker
	load *rabbitload.Load
}

// cmdRabbitMQ runs a real broker: rabbitmq start NAME puts its ports into
// $NAME_METRICS and $NAME_MANAGEMENT; fill makes queues with messages; ctl runs
// rabbitmqctl; compare asks a URL until each queue has there what rabbitmqctl
// says, prints how long the last answer took, and keeps it in a file.
func cmdRabbitMQ(ts *testscript.TestScript, s *stage, args []string) error {
	const usage = usageError("rabbitmq start|stop NAME | rabbitmq fill NAME N | rabbitmq ctl NAME ARG... | rabbitmq compare NAME URL FILE FIGURE")
	if len(args) < 2 {
		return usage
	}
	ctx, cancel := context.WithTimeout(context.Background(), brokerLimit)
	defer cancel()
	b := s.brokers[args[1]]
	switch {
	case args[0] == "start" && b == nil:
		return s.startBroker(ctx, ts, args[1])
	case b == nil:
		return fmt.Errorf("no broker %q", args[1])
	case args[0] == "start":
		return b.Start(ctx)
	case args[0] == "stop":
		return b.Kill()
	case args[0] == "fill" && len(args) == 3:
		return b.fill(ctx, args[2])
	case args[0] == "ctl":
		out, err := b.Ctl(ctx, args[2:]...)
		ts.Logf("%s", out)
		return err
	case args[0] == "compare" && len(args) == 5:
		return b.compare(ctx, ts, args[2], ts.MkAbs(args[3]), args[4])
	}
	return usage
}

func (s *stage) startBroker(ctx context.Context, ts *testscript.TestScript, name string) error {
	dir := filepath.Join(s.dir, "rabbitmq-"+name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	b, err := rabbit.Start(ctx, rabbit.Options{Dir: dir})
	if err != nil {
		return err
	}
	s.brokers[name] = &broker{Broker: b}
	ts.Setenv(name+"_AMQP", "amqp://"+b.Address())
	for variable, url := range map[string]string{"METRICS": b.PrometheusURL(), "MANAGEMENT": b.ManagementURL()} {
		_, port, err := net.SplitHostPort(strings.TrimPrefix(url, "http://"))
		if err != nil {
			return err
		}
		ts.Setenv(name+"_"+variable, port)
	}
	return nil
}

// end is the broker's, with all that it has.
func (b *broker) end() {
	if b.load != nil {
		_ = b.load.Close() // the broker may be gone already
	}
	_ = b.Stop()
}

func (b *broker) fill(ctx context.Context, number string) error {
	n, err := strconv.Atoi(number)
	if err != nil {
		return usageError(err.Error())
	}
	b.load, err = rabbitload.Fill(ctx, b.URL(), "load.", n)
	return err
}

// depth is what is said of one queue.
type depth struct {
	Ready     int `json:"messages_ready"`
	Unacked   int `json:"messages_unacknowledged"`
	Messages  int `json:"messages"`
	Consumers int `json:"consumers"`
}

// compare awaits that all queues are told as rabbitmqctl tells them. The broker
// counts for its metrics every five seconds.
func (b *broker) compare(ctx context.Context, ts *testscript.TestScript, url, file, figure string) error {
	want, err := b.list(ctx)
	if err != nil {
		return err
	}
	var took time.Duration
	err = launch.Await(ctx, "the depths of rabbitmqctl at "+url, func(ctx context.Context) error {
		began := time.Now()
		status, body, err := request(ctx, http.MethodGet, url)
		took = time.Since(began)
		if err != nil || status != http.StatusOK {
			return fmt.Errorf("%d %w", status, err)
		}
		got, err := exposed(body)
		if err == nil {
			err = sameDepths(want, got)
		}
		if err != nil {
			return err
		}
		return os.WriteFile(file, []byte(body), 0o600)
	})
	if err != nil {
		return err
	}
	ts.Logf("%d queues have the depth that rabbitmqctl tells\nfigure %s %.3f seconds", len(want), figure, took.Seconds())
	return nil
}

func (b *broker) list(ctx context.Context) (map[string]depth, error) {
	out, err := b.Ctl(ctx, "-q", "--formatter", "json", "list_queues", "name", "messages_ready", "messages_unacknowledged", "messages", "consumers")
	if err != nil {
		return nil, err
	}
	var rows []struct {
		Name string `json:"name"`
		depth
	}
	if err := json.Unmarshal([]byte(out), &rows); err != nil {
		return nil, fmt.Errorf("%w in %.200s", err, out)
	}
	all := map[string]depth{}
	for _, r := range rows {
		all[r.Name] = r.depth
	}
	return all, nil
}

// exposed reads the series of queues from an exposition.
func exposed(body string) (map[string]depth, error) {
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	all := map[string]depth{}
	for name, put := range map[string]func(*depth, int){
		"messages_ready": func(d *depth, v int) { d.Ready = v }, "messages_unacknowledged": func(d *depth, v int) { d.Unacked = v },
		"messages": func(d *depth, v int) { d.Messages = v }, "consumers": func(d *depth, v int) { d.Consumers = v },
	} {
		for _, m := range families["probe_rabbitmq_queue_"+name].GetMetric() {
			queue := labelOf(m, "queue")
			d := all[queue]
			put(&d, int(m.GetGauge().GetValue()))
			all[queue] = d
		}
	}
	return all, nil
}

func labelOf(m *dto.Metric, name string) string {
	for _, l := range m.GetLabel() {
		if l.GetName() == name {
			return l.GetValue()
		}
	}
	return ""
}

func sameDepths(want, got map[string]depth) error {
	wrong := 0
	for name, w := range want {
		if got[name] != w {
			wrong++
		}
	}
	if wrong > 0 || len(got) != len(want) {
		return fmt.Errorf("%d queues, want %d; %d differ", len(got), len(want), wrong)
	}
	return nil
}
