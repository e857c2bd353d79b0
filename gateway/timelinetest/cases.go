// Package timelinetest has the table of cases of the rule for wall time
// (gateway.Timeline; PROTOCOL.md 4, anchor). The rule itself, the history on
// site, the export of a store, the cloud and its database pass the whole table.
package timelinetest

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"github.com/fieldgate/fieldgate/gateway"
)

//go:embed walltimes.json
var table []byte

// A Case is some anchors, in the order in which they came, and the wall times
// that follow from them. There may be none.
type Case struct {
	Name    string
	Anchors []gateway.Anchor
	Walls   []Wall
}

// A Wall is the wall time of one stamp.
type Wall struct {
	Boot    gateway.BootID
	Stamp   gateway.Stamp
	Wall    int64 // µs since 1970
	Quality gateway.ClockQuality
	// Bounded is Wall where stamps and offsets are first bounded to 2^52 µs, 142
	// years, either way, as the tables in PostgreSQL do it.
	Bounded int64
}

// Boot gives the boot that the table calls n.
func Boot(n byte) gateway.BootID { return gateway.BootID{15: n} }

// Boots gives the boots of a case, in the order of their numbers.
func (c Case) Boots() (all []gateway.BootID) {
	for _, a := range c.Anchors {
		all = append(all, a.Boot)
	}
	for _, w := range c.Walls {
		all = append(all, w.Boot)
	}
	slices.SortFunc(all, func(a, b gateway.BootID) int { return int(a[15]) - int(b[15]) })
	return slices.Compact(all)
}

// First gives the anchor with which a board would begin in a boot: the first of
// the case, or one of a clock that was never set.
func (c Case) First(boot gateway.BootID) gateway.Anchor {
	for _, a := range c.Anchors {
		if a.Boot == boot {
			return a
		}
	}
	return gateway.Anchor{Boot: boot}
}

// Cases gives the table.
func Cases(t testing.TB) (all []Case) {
	t.Helper()
	var read struct{ Cases []caseText }
	if err := json.Unmarshal(table, &read); err != nil {
		t.Fatal(err)
	}
	for _, text := range read.Cases {
		c, err := text.parse()
		if err != nil {
			t.Fatalf("case %q: %v", text.Name, err)
		}
		all = append(all, c)
	}
	if len(all) == 0 {
		t.Fatal("the table of wall times is empty")
	}
	return all
}

// A caseText is a case as it stands in the file. A boot that is left out is 1.
type caseText struct {
	Name    string
	Anchors []struct {
		Boot         byte
		From, Offset int64
		Quality      string
		ErrUS        int64 `json:"err_us"`
	}
	Walls []struct {
		Boot        byte
		Stamp, Wall int64
		Quality     string
		Bounded     *int64
	}
}

func (text caseText) parse() (Case, error) {
	c := Case{Name: text.Name}
	for _, a := range text.Anchors {
		q, err := qualityNamed(a.Quality)
		if err != nil {
			return c, err
		}
		c.Anchors = append(c.Anchors, gateway.Anchor{
			Boot: Boot(max(a.Boot, 1)), From: gateway.Stamp(a.From), Offset: a.Offset, Quality: q, Error: gateway.Micros(a.ErrUS),
		})
	}
	for _, w := range text.Walls {
		q, err := qualityNamed(w.Quality)
		if err != nil {
			return c, err
		}
		wall := Wall{Boot: Boot(max(w.Boot, 1)), Stamp: gateway.Stamp(w.Stamp), Wall: w.Wall, Quality: q, Bounded: w.Wall}
		if w.Bounded != nil {
			wall.Bounded = *w.Bounded
		}
		c.Walls = append(c.Walls, wall)
	}
	return c, nil
}

func qualityNamed(name string) (gateway.ClockQuality, error) {
	for q := gateway.ClockNone; q <= gateway.ClockNTP; q++ {
		if q.String() == name {
			return q, nil
		}
	}
	return 0, fmt.Errorf("%q is no clock quality", name)
}
