package record

import (
	"slices"
	"strings"
	"testing"
)

func TestLinks(t *testing.T) {
	last := Place{Seq: 7, ID: "g"}
	for name, c := range map[string]struct {
		last Place
		r    Record
		want Link
	}{
		"nothing is known before it":           {Place{}, Record{Prev: "x", PrevSeq: 3}, Next},
		"the first of all":                     {Place{}, Record{}, Next},
		"it follows the newest":                {last, Record{Prev: "g", PrevSeq: 7}, Next},
		"it follows an older one":              {last, Record{Prev: "e", PrevSeq: 5}, Void},
		"it follows another of the same place": {last, Record{Prev: "lost", PrevSeq: 7}, Void},
		"it follows one that was never seen":   {last, Record{Prev: "h", PrevSeq: 8}, Unknown},
		"it begins a chain":                    {last, Record{}, Unknown},
	} {
		if got := c.r.LinkTo(c.last); got != c.want {
			t.Errorf("%s: link %d, want %d", name, got, c.want)
		}
	}
}

func TestDisplaced(t *testing.T) {
	r := Record{Seq: 9, Prev: "g", PrevSeq: 7}
	for name, c := range map[string]struct {
		first Place
		want  bool
	}{
		"its predecessor is there":    {Place{7, "g"}, false},
		"another is in its place":     {Place{7, "x"}, true},
		"it was purged":               {Place{8, "h"}, false},
		"all before the record was":   {Place{9, "i"}, false},
		"the log gives nothing there": {Place{}, false},
	} {
		if got := r.Displaced(c.first); got != c.want {
			t.Errorf("%s: displaced %v, want %v", name, got, c.want)
		}
	}
}

// Every case is a chain as the log has it; of each record its id and, behind
// the sign, that of its predecessor.
func TestValidLeavesOutVoidRecords(t *testing.T) {
	for chain, want := range map[string]string{
		"":                              "",
		"a< b<a c<b":                    "a b c",
		"c<b d<c":                       "c d",       // what came before is purged
		"a< b<a x<lost c<b":             "a b c",     // it arrived late, from before a loss
		"a< b<a x<lost y<x c<b":         "a b c",     // and so did one that follows it
		"a< b<a x<a c<b":                "a b c",     // two of one predecessor: the first stands
		"a< b<a x<a y<x":                "a b",       // the other has followers
		"a< b<a x<lost":                 "a b",       // the newest is void
		"a< x<lost y<lost b<a z<a c<b":  "a b c",     // many
		"d<c x<lost e<d y<d f<e z<lost": "d e f",     // many, and older ones purged
		"a< b<a x< c<b":                 "a b c",     // one that begins anew, in a log that has all
		"a< b<a c<b d<c x<b y<a e<d":    "a b c d e", // forks from further back
	} {
		var records []Record
		for i, part := range strings.Fields(chain) {
			id, prev, _ := strings.Cut(part, "<")
			r := Record{Seq: uint64(i + 1), ID: id, Prev: prev}
			if n := slices.IndexFunc(records, func(p Record) bool { return p.ID == prev }); n >= 0 {
				r.PrevSeq = records[n].Seq
			} else if prev != "" {
				r.PrevSeq = uint64(i) // the place of a lost one is another's now
			}
			records = append(records, r)
		}
		var got []string
		all := func(yield func(Record, error) bool) {
			for _, r := range records {
				if !yield(r, nil) {
					return
				}
			}
		}
		for r, err := range Valid(all) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, r.ID)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("of %q valid are %q, want %q", chain, strings.Join(got, " "), want)
		}
	}
}
