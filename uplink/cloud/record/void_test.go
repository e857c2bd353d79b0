package record

import "testing"

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
