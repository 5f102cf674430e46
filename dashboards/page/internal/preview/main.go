// Command preview serves the pages over the fixtures, to be looked at:
//
//	go run ./dashboards/page/internal/preview
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"time"

	"github.com/colliehq/collie/dashboards/page"
	"github.com/colliehq/collie/dashboards/page/internal/fixture"
)

func main() {
	address := flag.String("listen", "127.0.0.1:0", "where to listen")
	scene := flag.String("scene", "site", "site, calm, starting, empty, many or broken")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := serve(ctx, *address, *scene)
	stop()
	if err != nil {
		slog.Error("preview", "err", err)
		os.Exit(1)
	}
}

func serve(ctx context.Context, address, scene string) error {
	scenes := map[string]func(time.Time) *fixture.Record{
		"site": fixture.Site, "calm": fixture.Calm, "starting": fixture.Starting,
		"empty":  func(time.Time) *fixture.Record { return &fixture.Record{} },
		"many":   func(now time.Time) *fixture.Record { return fixture.Many(now, 5000) },
		"broken": func(time.Time) *fixture.Record { return &fixture.Record{Err: errors.New("store: database is closed")} },
	}
	record, ok := scenes[scene]
	if !ok {
		return fmt.Errorf("there is no scene %q", scene)
	}
	barks := map[string]func(time.Time) *fixture.Barks{
		"site": fixture.Loud, "many": func(now time.Time) *fixture.Barks { return fixture.Storm(now, 500) },
	}[scene]
	if barks == nil {
		barks = fixture.Quiet
	}
	mux := http.NewServeMux()
	page.New(page.Options{Source: record(fixture.Now()), Barks: barks(fixture.Now()), Version: "preview", Now: fixture.Now}).Register(mux)
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return err
	}
	fmt.Printf("http://%s/\n", l.Addr())
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	stopped := make(chan error, 1)
	go func() {
		<-ctx.Done()
		stopped <- server.Close()
	}()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-stopped
}
