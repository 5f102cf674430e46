package beaker

import (
	"slices"
	"strings"
)

// field is one label of a series.
type field struct{ name, value string }

// series is what a name that beakerd sends stands for: a family of ours and its
// labels. It is comparable, so that it can be a key.
type series struct {
	family  *family
	a, b    field // in the order in which they are shown; the second may be empty
	grouped bool  // one of many, of which only so many are kept
}

// family is a metric made of what beakerd sends.
type family struct {
	name, help string
	counter    bool
}

// Labels with a closed list of values.
var (
	// TaskStatus of recipes that are not finished.
	recipeStatuses = []string{"new", "processed", "queued", "scheduled", "waiting", "installing", "running", "reserved"}
	systemStates   = []string{"recipe", "manual", "idle_automated", "idle_manual", "idle_broken"}
	commandStates  = []string{"queued", "running"}
	finished       = []string{"completed", "cancelled", "aborted"}
	commandEnds    = []string{"completed", "aborted", "failed"}
)

// source is one family of names of beakerd's: STEM_STATE.GROUP[.NAME], with
// one metric of ours for each group. No metric mixes a whole with its parts.
type source struct {
	stem   string   // "gauges.recipes_"
	label  string   // of the state: "status"; empty if each state is a metric of its own
	states []string // closed list
	groups map[string]*family
}

// groupLabels are the labels of what is counted apart.
var groupLabels = map[string]string{"by_arch": "arch", "by_lab": "lab", "by_power_type": "power_type"}

const byArch = " A system or recipe can count for several: never add these up."

func gauge(name, help string) *family   { return &family{name: "probe_beaker_" + name, help: help} }
func counter(name, help string) *family { return &family{"probe_beaker_" + name, help, true} }

// sources are all names that beakerd sends in groups (Server/bkr/server/tools/beakerd.py
// of Beaker 0.15 to 28).
var sources = []source{
	{"gauges.recipes_", "status", recipeStatuses, map[string]*family{
		"all":                   gauge("recipes", "Unfinished recipes by status."),
		"dynamic_virt_possible": gauge("recipes_virt_possible", "Unfinished recipes that a virtual machine made for them can run, or runs, by status."),
		"by_arch":               gauge("recipes_by_arch", "Unfinished recipes by status and architecture of what they install."),
	}},
	{"gauges.systems_", "state", systemStates, map[string]*family{
		"all":     gauge("systems", "Systems by what they do: recipe and manual are in use, the others are idle."),
		"shared":  gauge("systems_shared", "Systems that everybody may reserve, by what they do."),
		"by_arch": gauge("systems_by_arch", "Systems by what they do and architecture."+byArch),
		"by_lab":  gauge("systems_by_lab", "Systems by what they do and lab controller."),
	}},
	{"gauges.system_commands_", "status", commandStates, map[string]*family{
		"all":           gauge("system_commands", "Power commands that wait, and that run."),
		"by_arch":       gauge("system_commands_by_arch", "Power commands that wait, and that run, by architecture."+byArch),
		"by_lab":        gauge("system_commands_by_lab", "Power commands that wait, and that run, by lab controller."),
		"by_power_type": gauge("system_commands_by_power_type", "Power commands that wait, and that run, by type of power control."),
	}},
	{"counters.system_commands_", "status", commandEnds, map[string]*family{
		"all":           counter("system_commands_ended_total", "Power commands that ended since Collie listens, by how."),
		"by_arch":       counter("system_commands_ended_by_arch_total", "Power commands that ended since Collie listens, by how and architecture."+byArch),
		"by_lab":        counter("system_commands_ended_by_lab_total", "Power commands that ended since Collie listens, by how and lab controller."),
		"by_power_type": counter("system_commands_ended_by_power_type_total", "Power commands that ended since Collie listens, by how and type of power control."),
	}},
}

var (
	recipesEnded     = counter("recipes_ended_total", "Recipes that ended since Collie listens, by how.")
	dirtyJobs        = gauge("dirty_jobs", "Jobs whose change of status the scheduler has not handled yet.")
	suspiciousAborts = counter("suspicious_aborts_total", "Systems that Beaker took for broken after aborted recipes, since Collie listens.")
)

// known finds what the name, without the prefix, stands for. What it does not
// know it refuses: names are from outside, and each would be a series.
func known(name string) (series, bool) {
	switch name {
	case "gauges.dirty_jobs":
		return series{family: dirtyJobs}, true
	case "counters.suspicious_aborts":
		return series{family: suspiciousAborts}, true
	}
	if state, ok := strings.CutPrefix(name, "counters.recipes_"); ok && slices.Contains(finished, state) {
		return series{family: recipesEnded, a: field{"status", state}}, true
	}
	for i := range sources {
		if rest, ok := strings.CutPrefix(name, sources[i].stem); ok {
			return sources[i].find(rest)
		}
	}
	return series{}, false
}

// find knows STATE.GROUP and STATE.GROUP.NAME.
func (s *source) find(rest string) (series, bool) {
	state, group, _ := strings.Cut(rest, ".")
	group, member, of := strings.Cut(group, ".")
	f := s.groups[group]
	label := groupLabels[group]
	if f == nil || of != (label != "") || !slices.Contains(s.states, state) {
		return series{}, false
	}
	found := series{family: f, a: field{s.label, state}}
	if label == "" {
		return found, true
	}
	found.b, found.grouped = field{label, member}, true
	return found, member != "" && len(member) <= maxMember && !strings.ContainsFunc(member, unfit)
}

// maxMember is the longest name of a lab, architecture or power type, in bytes:
// that of a host (RFC 1035).
const maxMember = 255

// unfit are characters that are in no name of a lab, architecture or power type.
func unfit(r rune) bool {
	fits := r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || strings.ContainsRune("_-.:", r)
	return !fits
}

// counters are the series that count from the beginning, before the first event.
func counters() []series {
	all := []series{{family: suspiciousAborts}}
	for _, s := range finished {
		all = append(all, series{family: recipesEnded, a: field{"status", s}})
	}
	for _, s := range commandEnds {
		all = append(all, series{family: sources[3].groups["all"], a: field{"status", s}})
	}
	return all
}
