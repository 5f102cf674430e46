package probe

// Metrics are the metrics of one probe as plain data: cheap to build, with no
// registry behind them. Families keep the order in which they were added.
type Metrics struct {
	families []Family
}

// Type is the type of a metric family.
type Type byte

// The types that probes use.
const (
	Gauge Type = iota
	Counter
	Untyped
)

// Family is a named metric with its samples. All samples of a family have the
// same label names.
type Family struct {
	Name    string
	Help    string
	Type    Type
	Samples []Sample
}

// Sample is one value under its labels.
type Sample struct {
	Labels []Label
	Value  float64
}

// Label is a name and a value from a bounded set.
type Label struct{ Name, Value string }

// Gauge adds a sample of a gauge. Labels are name, value, name, value.
func (m *Metrics) Gauge(name, help string, value float64, labels ...string) {
	m.Add(Gauge, name, help, value, labels...)
}

// Counter adds a sample of a counter that lives elsewhere (a kernel's, a
// server's); its name ends in _total.
func (m *Metrics) Counter(name, help string, value float64, labels ...string) {
	m.Add(Counter, name, help, value, labels...)
}

// Add adds a sample to the family called name, which is made if it is new.
// A label without a value panics: that is a mistake of the caller's text, not
// of outside bytes.
func (m *Metrics) Add(t Type, name, help string, value float64, labels ...string) {
	if len(labels)%2 != 0 {
		panic("probe: labels of " + name + " are not pairs")
	}
	s := Sample{Value: value}
	for i := 0; i < len(labels); i += 2 {
		s.Labels = append(s.Labels, Label{labels[i], labels[i+1]})
	}
	for i := range m.families {
		if m.families[i].Name == name {
			m.families[i].Samples = append(m.families[i].Samples, s)
			return
		}
	}
	m.families = append(m.families, Family{Name: name, Help: help, Type: t, Samples: []Sample{s}})
}

// Families returns the families in the order in which they were added. The
// caller must not change them.
func (m Metrics) Families() []Family { return m.families }

// Bool is 1 for true and 0 for false, as Prometheus writes truth.
func Bool(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
