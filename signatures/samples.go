package signatures

import (
	"fmt"
	"strings"
	"time"
)

// Proof is what the samples of all signatures say.
type Proof struct {
	// Wrong are the samples that are not taken as they should be.
	Wrong []Mistake `json:"-"`
	// Families are the rows of the table, in the order of the files.
	Families []FamilyProof `json:"families"`
}

// FamilyProof is one family against the samples of every family.
type FamilyProof struct {
	Family     string `json:"family"`
	Signatures int    `json:"signatures"`
	Samples    int    `json:"samples"` // that must match
	Clean      int    `json:"clean"`   // that must not
	Recognised int    `json:"recognised"`
	// Others counts, for each other family, how many of its samples this family
	// recognises too.
	Others map[string]int `json:"others,omitempty"`
}

// Prove holds every signature against every sample. A sample for a match must
// be recognised by its own signature. A clean sample must not be recognised by
// its own signature, nor by any of another family. Expired signatures are proven
// too: they may be needed again.
func Prove(families []Family) (Proof, error) {
	set, err := Compile(families, time.Time{})
	if err != nil {
		return Proof{}, err
	}
	var p Proof
	for _, f := range families {
		row := FamilyProof{Family: f.Name, Signatures: len(f.Signatures)}
		for _, s := range f.Signatures {
			row.Samples += len(s.Samples.Match)
			row.Clean += len(s.Samples.Clean)
		}
		p.Families = append(p.Families, row)
	}
	for _, f := range families {
		for _, s := range f.Signatures {
			p.prove(set, s)
		}
	}
	return p, nil
}

func (p *Proof) prove(set *Set, s Signature) {
	for _, sample := range s.Samples.Match {
		own := false
		for _, other := range set.recognise(sample) {
			own = own || other.Name == s.Name
			p.count(other.Family, s.Family, other.Name == s.Name)
		}
		if !own {
			p.wrong(s, "is not recognised by its own sample %q", sample)
		}
	}
	for _, sample := range s.Samples.Clean {
		for _, other := range set.recognise(sample) {
			if other.Name == s.Name || other.Family != s.Family {
				p.wrong(s, "the clean sample %q is recognised by %s", sample, other.Name)
			}
		}
	}
}

func (p *Proof) wrong(s Signature, format string, args ...any) {
	p.Wrong = append(p.Wrong, Mistake{s.File, s.Line, s.Name + ": " + fmt.Sprintf(format, args...)})
}

func (p *Proof) count(family, of string, own bool) {
	for i := range p.Families {
		row := &p.Families[i]
		switch {
		case row.Family != family:
		case own:
			row.Recognised++
		case family != of:
			if row.Others == nil {
				row.Others = map[string]int{}
			}
			row.Others[of]++
		}
	}
}

// recognise returns the signatures whose texts are in the sample, wherever in a
// log and of whatever job it would be.
func (s *Set) recognise(sample string) (list []*compiled) {
	c := s.Classifier(Job{})
	c.anywhere = true
	_, _ = strings.NewReader(sample).WriteTo(c)
	v := c.Verdict()
	taken := map[string]bool{}
	for _, f := range v.Findings {
		taken[f.Signature] = true
	}
	for _, f := range v.Vetoed {
		taken[f.Signature] = taken[f.Signature] || f.overruled
	}
	for _, one := range s.signatures {
		if taken[one.Name] {
			list = append(list, one)
		}
	}
	return list
}
