// Command probeserver serves /probe and nothing else: the smallest program to
// measure what a probe costs.
package main

import (
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/colliehq/collie/exporters/host"
	"github.com/colliehq/collie/exporters/module"
	"github.com/colliehq/collie/exporters/probe"
)

func main() {
	file := flag.String("config.file", "", "module file; without it the built-in modules hold")
	listen := flag.String("web.listen-address", "127.0.0.1:9797", "address to listen on")
	flag.Parse()
	if err := serve(*file, *listen); err != nil {
		fmt.Fprintln(os.Stderr, "probeserver:", err)
		os.Exit(1)
	}
}

func serve(file, listen string) error {
	modules := module.Defaults(host.Kinds())
	if file != "" {
		own, err := module.Load(file, host.Kinds())
		if err != nil {
			return err
		}
		modules = module.Merge(modules, own)
	}
	byName := module.Map(modules)
	http.Handle("/probe", &probe.Handler{Modules: func() map[string]probe.Module { return byName }, Log: slog.New(slog.DiscardHandler)})
	server := &http.Server{Addr: listen, ReadHeaderTimeout: 10 * time.Second}
	return server.ListenAndServe()
}
