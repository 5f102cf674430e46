package page

import (
	"net/http"
)

// alerts is the data of the page at /alerts.
type alerts struct {
	frame
}

func (p *Page) serveAlerts(_ http.ResponseWriter, r *http.Request) *view {
	return &view{status: http.StatusOK, tmpl: p.alerts, data: alerts{frame: p.frame(r, "alerts", "Alerts")}}
}
