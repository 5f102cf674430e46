package beaker

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// System is a system of the simulated lab.
type System struct {
	FQDN      string
	Condition string // Automated, Manual, Broken, Removed
	Loan      string // to whom
	User      string // who has reserved it
	Recipe    int    // which recipe has, 0: none
	Started   time.Time
	Pools     []string
}

// Job is an unfinished job: the status of each of its recipes.
type Job struct {
	ID      int
	Owner   string
	Recipes []string
}

// Lab is the simulated web server below /bkr.
type Lab struct {
	URL string // with /bkr

	server *http.Server
	mu     sync.Mutex // guards what follows
	system []System
	jobs   []Job
	fault  string
	asked  map[string]int
}

// Faults are what can be wrong with the server.
var Faults = []string{"", "login", "login-page", "forbidden", "error", "page", "bomb", "deep", "endless", "slow", "fault"}

// Start starts a lab at an address of this machine.
func Start(address string, systems []System, jobs []Job) (*Lab, error) {
	listener, err := net.Listen("tcp", address) //nolint:noctx // ends with Stop
	if err != nil {
		return nil, err
	}
	l := &Lab{URL: "http://" + listener.Addr().String() + "/bkr", system: systems, jobs: jobs, asked: map[string]int{}}
	l.server = &http.Server{Handler: http.StripPrefix("/bkr", l.routes()), ReadHeaderTimeout: time.Minute}
	go func() { _ = l.server.Serve(listener) }() // until Stop
	return l, nil
}

// Stop ends it.
func (l *Lab) Stop() error {
	if err := l.server.Close(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Set puts a system in the place of the one of its name, or adds it.
func (l *Lab) Set(s System) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.system = append(slices.DeleteFunc(l.system, func(x System) bool { return x.FQDN == s.FQDN }), s)
}

// Break makes all answers those of a fault; "" ends it.
func (l *Lab) Break(fault string) error {
	if !slices.Contains(Faults, fault) {
		return fmt.Errorf("unknown fault %q", fault)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fault = fault
	return nil
}

// Asked is how often a path below /bkr was asked for.
func (l *Lab) Asked(path string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.asked[path]
}

func (l *Lab) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", l.feed(func(System) bool { return true }))
	mux.HandleFunc("GET /available/{$}", l.feed(func(s System) bool { return s.Condition != "Removed" }))
	mux.HandleFunc("GET /free/{$}", l.feed(func(s System) bool { return s.Condition != "Removed" && s.User == "" }))
	mux.HandleFunc("GET /systems/{fqdn}/status", l.status)
	mux.HandleFunc("GET /pools/{name}/{$}", l.pool)
	mux.HandleFunc("GET /jobs/{id}", l.job)
	mux.HandleFunc("POST /RPC2", l.rpc)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		l.mu.Lock()
		fault := l.fault
		l.asked[r.URL.Path]++
		l.mu.Unlock()
		if !broken(w, r, fault) {
			mux.ServeHTTP(w, r)
		}
	})
}

// broken answers in the way of a fault.
func broken(w http.ResponseWriter, r *http.Request, fault string) bool {
	switch fault {
	case "login":
		http.Redirect(w, r, "/bkr/login", http.StatusFound)
	case "login-page":
		page(w, http.StatusOK, `<title>Beaker: Login</title><form method="post"><input name="user_name"><input type="password" name="password"></form>`)
	case "forbidden":
		page(w, http.StatusForbidden, "<h1>Forbidden</h1>")
	case "error":
		page(w, http.StatusInternalServerError, "<h1>500 Internal error</h1>")
	case "page":
		page(w, http.StatusOK, "<h1>Welcome to nginx!</h1>")
	case "bomb":
		w.Header().Set("Content-Type", "application/atom+xml")
		fmt.Fprint(w, bomb)
	case "deep":
		w.Header().Set("Content-Type", "application/atom+xml")
		fmt.Fprint(w, strings.Repeat("<feed>", 100_000))
	case "endless":
		w.Header().Set("Content-Type", "application/atom+xml")
		fmt.Fprint(w, "<feed>")
		entry := "<entry><title>" + strings.Repeat("x", 60_000) + "</title></entry>" // few and long, which is quick to read
		for r.Context().Err() == nil {
			if _, err := io.WriteString(w, entry); err != nil {
				break
			}
		}
	case "slow":
		<-r.Context().Done()
	default:
		return false
	}
	return true
}

// bomb is a billion laughs: 10 entities of 10 of each other.
var bomb = func() string {
	var b strings.Builder
	b.WriteString("<?xml version=\"1.0\"?>\n<!DOCTYPE feed [\n<!ENTITY l0 \"lol\">\n")
	for i := 1; i < 10; i++ {
		fmt.Fprintf(&b, "<!ENTITY l%d \"%s\">\n", i, strings.Repeat(fmt.Sprintf("&l%d;", i-1), 10))
	}
	b.WriteString("]>\n<feed xmlns=\"http://www.w3.org/2005/Atom\"><title>&l9;</title></feed>\n")
	return b.String()
}()

func page(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	fmt.Fprintf(w, "<!DOCTYPE html>\n<html><body>%s</body></html>\n", body)
}

// feed answers as templates/systems_feed.kid does, with the grid's default of
// 20 entries unless list_tgp_limit says otherwise.
func (l *Lab) feed(in func(System) bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("tg_format") != "atom" {
			page(w, http.StatusOK, "<table>the grid of systems</table>")
			return
		}
		limit := 20
		if n, err := strconv.Atoi(r.URL.Query().Get("list_tgp_limit")); err == nil {
			limit = n
		}
		w.Header().Set("Content-Type", "application/atom+xml")
		fmt.Fprintf(w, "%s<feed xmlns=\"http://www.w3.org/2005/Atom\">\n<title type=\"text\">Systems</title>\n<id>%s</id>\n", xml.Header, l.URL)
		n := 0
		for _, s := range l.systems() {
			if n++; in(s) && (limit == 0 || n <= limit) {
				fmt.Fprintf(w, "<entry><id>%[1]s/view/%[2]s</id><published>2026-01-01T00:00:00</published><title type=\"text\">%[2]s</title>"+
					"<link rel=\"alternate\" type=\"text/html\" href=\"%[1]s/view/%[2]s\"/></entry>\n", l.URL, s.FQDN)
			}
		}
		fmt.Fprint(w, "</feed>\n")
	}
}

func (l *Lab) systems() []System {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.system)
}

// status answers as get_system_status in systems.py does.
func (l *Lab) status(w http.ResponseWriter, r *http.Request) {
	all := l.systems()
	i := slices.IndexFunc(all, func(s System) bool { return s.FQDN == r.PathValue("fqdn") })
	if i < 0 {
		http.Error(w, "System not found", http.StatusNotFound)
		return
	}
	s := all[i]
	answer := map[string]any{"condition": s.Condition, "current_loan": nil, "current_reservation": nil}
	if s.Loan != "" {
		answer["current_loan"] = map[string]any{"recipient": s.Loan, "recipient_user": map[string]any{"user_name": s.Loan}, "comment": nil}
	}
	if s.User != "" {
		reservation := map[string]any{"user": map[string]any{"user_name": s.User}, "user_name": s.User}
		if s.Recipe > 0 {
			reservation["recipe_id"] = strconv.Itoa(s.Recipe)
			reservation["start_time"] = s.Started.UTC().Format("2006-01-02 15:04:05") + " UTC"
		}
		answer["current_reservation"] = reservation
	}
	asJSON(w, answer)
}

func (l *Lab) pool(w http.ResponseWriter, r *http.Request) {
	members := []string{}
	for _, s := range l.systems() {
		if slices.Contains(s.Pools, r.PathValue("name")) {
			members = append(members, s.FQDN)
		}
	}
	if len(members) == 0 {
		http.Error(w, "System pool not found", http.StatusNotFound)
		return
	}
	asJSON(w, map[string]any{"id": 1, "name": r.PathValue("name"), "systems": members})
}

func (l *Lab) job(w http.ResponseWriter, r *http.Request) {
	i := slices.IndexFunc(l.jobs, func(j Job) bool { return strconv.Itoa(j.ID) == r.PathValue("id") })
	if i < 0 || r.Header.Get("Accept") != "application/json" {
		page(w, http.StatusNotFound, "no such job")
		return
	}
	recipes := []any{}
	for n, status := range l.jobs[i].Recipes {
		recipes = append(recipes, map[string]any{"id": n + 1, "t_id": fmt.Sprintf("R:%d", n+1), "status": status})
	}
	asJSON(w, map[string]any{"id": l.jobs[i].ID, "t_id": fmt.Sprintf("J:%d", l.jobs[i].ID), "is_finished": false,
		"recipesets": []any{map[string]any{"id": 1, "t_id": "RS:1", "machine_recipes": recipes}}})
}

// rpc answers jobs.filter, by owner and up to limit.
func (l *Lab) rpc(w http.ResponseWriter, r *http.Request) {
	var call struct {
		Method  string `xml:"methodName"`
		Members []struct {
			Name   string `xml:"name"`
			String string `xml:"value>string"`
			Int    int    `xml:"value>int"`
		} `xml:"params>param>value>struct>member"`
	}
	w.Header().Set("Content-Type", "text/xml")
	l.mu.Lock()
	fault := l.fault
	l.mu.Unlock()
	if err := xml.NewDecoder(r.Body).Decode(&call); err != nil || call.Method != "jobs.filter" || fault == "fault" {
		fmt.Fprint(w, xml.Header+"<methodResponse><fault><value><struct><member><name>faultCode</name><value><int>1</int></value></member>"+
			"<member><name>faultString</name><value><string>&lt;class 'bkr.common.bexceptions.BX'&gt;:Invalid limit</string></value></member></struct></value></fault></methodResponse>")
		return
	}
	owner, limit := "", 0
	for _, m := range call.Members {
		switch m.Name {
		case "owner":
			owner = m.String
		case "limit":
			limit = m.Int
		}
	}
	fmt.Fprint(w, xml.Header+"<methodResponse><params><param><value><array><data>\n")
	for i, j := range l.jobs {
		if (owner == "" || owner == j.Owner) && (limit == 0 || i < limit) {
			fmt.Fprintf(w, "<value><string>J:%d</string></value>\n", j.ID)
		}
	}
	fmt.Fprint(w, "</data></array></value></param></params></methodResponse>\n")
}

func asJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) //nolint:errchkjson // made of texts and numbers; or the asker has gone
}
