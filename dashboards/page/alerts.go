package page

import (
	"context"
	"net/http"
	"time"

	"github.com/colliehq/collie/signal"
)

// alerts is the data of the page at /alerts.
type alerts struct {
	frame
	Tint     signal.State
	Line     string
	Unread   string // why nobody can say what fires
	Firing   []alertRow
	Muted    []alertRow
	NFiring  string // before paging
	NMuted   string
	Pager    pager
	Networks []networkRow
	More     int // networks that are not shown
	Lines    []lineRow
	Notice   string // why the lines cannot be read
}

// Sizes of the page. They bound what a storm of alerts makes of it.
const (
	alertsShown   = 50
	reasonsShown  = 4 // why one alert is silent
	networksShown = 20
	channelsShown = 20 // of one network
	linesShown    = 50
	linesRead     = 6 * linesShown // heartbeats that arrived are left out
)

func (p *Page) serveAlerts(_ http.ResponseWriter, r *http.Request) *view {
	v, status := alerts{}, http.StatusOK
	firing, err := p.firing(r.Context(), p.o.Timeout/2)
	if err != nil {
		p.o.Log.Error("the alerts cannot be read", "path", r.URL.Path, "err", err)
		v.Unread, status = cleanText(err.Error(), 1000), http.StatusServiceUnavailable
	}
	s := sumUp(firing)
	v.frame = p.frame(r, "alerts", s.title(err))
	v.Tint, v.Line = s.tint(err), s.sentence(err)
	v.Icon = p.icon(v.Tint)
	v.addAlerts(p.clock(), r, firing)
	v.addNetworks(p.clock(), p.o.Barks.Networks())
	if err := p.addLines(r.Context(), &v); err != nil {
		p.o.Log.Error("the lines for IRC cannot be read", "path", r.URL.Path, "err", err)
		v.Notice = "The lines cannot be read now: " + line(err.Error(), maxCause)
	}
	return &view{status: status, tmpl: p.alerts, data: v}
}

// firing asks what fires, but not for long: the rest of the page can be shown
// without.
func (p *Page) firing(ctx context.Context, patience time.Duration) ([]Alert, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return p.o.Barks.Alerts(ctx)
}

func (v *alerts) addAlerts(c clock, r *http.Request, firing []Alert) {
	rows := c.alertRows(firing)
	muted := 0
	for _, row := range rows {
		if row.Silent {
			muted++
		}
	}
	v.NFiring, v.NMuted = count(len(rows)-muted), count(muted)
	v.Pager, rows = paged(r.URL, rows, alertsShown, alertCount)
	for i, row := range rows {
		if row.Silent {
			v.Firing, v.Muted = rows[:i], rows[i:]
			return
		}
	}
	v.Firing = rows
}

func (v *alerts) addNetworks(c clock, networks []IRCNetwork) {
	v.More = max(0, len(networks)-networksShown)
	for _, n := range networks[:len(networks)-v.More] {
		v.Networks = append(v.Networks, c.networkRow(n))
	}
}

// addLines asks for the newest lines. Whoever has no network has no spool.
func (p *Page) addLines(ctx context.Context, v *alerts) error {
	if len(v.Networks) == 0 {
		return nil
	}
	lines, err := p.o.Barks.Lines(ctx, linesRead)
	if err != nil {
		return err
	}
	for _, l := range lines {
		if len(v.Lines) < linesShown && !l.routine() {
			v.Lines = append(v.Lines, p.clock().lineRow(l))
		}
	}
	return nil
}
