package e2e

import (
	"encoding/json"
	"strings"
	"testing"
)

// The check itself is checked: it must see what it is there for.
func TestLogSeesFaults(t *testing.T) {
	const answer = `{"epoch":"a","seq":1} {"epoch":"a","seq":2} {"epoch":"a","seq":2} {"epoch":"a","seq":4}
		{"type":"gap","epoch":"a","first":5,"n":2,"why":"dropped"} {"epoch":"a","seq":7}
		{"type":"end","epoch":"a","why":"unclean_stop","after":7,"at_most":3}
		{"epoch":"b","seq":1} {"type":"end","epoch":"b","closed":1}`
	held := newLog()
	if err := held.decode(json.NewDecoder(strings.NewReader(answer))); err != nil {
		t.Fatal(err)
	}
	faults := strings.Join(held.Faults(), "; ")
	if want := "a/2 is held 2 times; a/3 is a hole that nothing explains"; faults != want {
		t.Errorf("found %q, want %q", faults, want)
	}
	for seq, want := range map[uint64]bool{3: false, 5: true, 6: true, 8: true, 10: true, 11: false} {
		if held.Explained(Name{"a", seq}) != want {
			t.Errorf("a/%d explained: %v, want %v", seq, !want, want)
		}
	}
	if held.Ended["a"] != "unclean_stop" || held.Ended["b"] != "closed" {
		t.Errorf("ends: %v", held.Ended)
	}
}
