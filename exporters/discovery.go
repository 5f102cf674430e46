package exporters

import (
	"encoding/json"
	"net/http"
	"net/netip"
	"net/url"

	"github.com/colliehq/collie/exporters/probe"
)

// Register adds the paths of the exporter to mux.
func (e *Exporter) Register(mux *http.ServeMux) {
	mux.Handle("GET /probe", &probe.Handler{
		Modules: e.currentModules, Address: e.addressOf, Allow: e.allows, Resolver: e.resolver, Log: e.log,
	})
	mux.HandleFunc("GET /targets/metrics", e.serveMetrics)
	mux.HandleFunc("GET /sd/targets", e.serveDiscovery)
	mux.HandleFunc("POST /ping/{name}", e.servePing)
	mux.HandleFunc("GET /ping/{name}", e.servePing)
}

func (e *Exporter) currentModules() map[string]probe.Module {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.modules // replaced as a whole, never changed
}

// addressOf is the address of the module target/NAME, "" of all others.
func (e *Exporter) addressOf(module string) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.named[module]
}

// allows reports whether /probe may look at the address: what is configured
// always, the rest only with probe.ad_hoc.
func (e *Exporter) allows(address string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.cfg.Probe.AdHoc || e.addresses[address]
}

// group is an entry of http_sd
// (https://prometheus.io/docs/prometheus/latest/http_sd/).
type group struct {
	Targets []string          `json:"targets"`
	Labels  map[string]string `json:"labels"`
}

// serveDiscovery answers /sd/targets: each probed target as a scrape of our
// /probe, so that an outside Prometheus needs no relabelling.
func (e *Exporter) serveDiscovery(w http.ResponseWriter, r *http.Request) {
	address, scheme, path := e.reachedAt(r)
	groups := []group{}
	e.mu.Lock()
	for _, name := range e.order {
		t := e.targets[name]
		if t.cfg.Heartbeat != nil {
			continue
		}
		groups = append(groups, group{Targets: []string{address}, Labels: map[string]string{
			"__scheme__": scheme, "__metrics_path__": path + "/probe",
			"__param_module": t.module.Name, "__param_target": t.cfg.Target,
			"instance": t.cfg.Target, "target": name, "tier": t.cfg.Tier,
		}})
	}
	e.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(groups); err != nil {
		e.log.Debug("scraper has gone", "err", err)
	}
}

// reachedAt is how whoever asks reaches us: as the external URL says, else as
// this request came.
func (e *Exporter) reachedAt(r *http.Request) (address, scheme, path string) {
	if u, err := url.Parse(e.o.ExternalURL); err == nil && u.Host != "" {
		return u.Host, u.Scheme, u.Path
	}
	scheme = "http"
	if r.TLS != nil {
		scheme = "https"
	}
	return r.Host, scheme, ""
}

// guardOf refuses for a configured target what is refused for all, but not the
// very address that its owner wrote down: a router may be link-local.
func guardOf(address string) probe.Guard {
	own, err := netip.ParseAddr(hostOf(address))
	if err != nil {
		return probe.GuardMetadata
	}
	return func(network, dialled string) error {
		if a, err := netip.ParseAddr(hostOf(dialled)); err == nil && a == own {
			return nil
		}
		return probe.GuardMetadata(network, dialled)
	}
}
