//go:build pi

package pi

import (
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/packaging/e2e"
)

// A phase is what the gateway is doing when the power goes.
type phase struct {
	name string
	wait func(*testing.T)
}

// A powerCut is one that happened.
type powerCut struct {
	phase  string
	seen   []e2e.Reading // on /ws since the cut before, the last one at the end
	window time.Duration // what a cut costs at most, as the status had said
}

// powerCuts: each takes the power away in another phase. Of what /ws showed before it, at most the loss window is
// missing, and a gap says so.
func (s *story) powerCuts(t *testing.T) {
	phases := []phase{
		{"cloud away", func(t *testing.T) {
			s.cloud.Stop(t)
			s.screen.AwaitSpan(t, s.screen.Count(), 20*time.Second)
		}},
		{"first reading after a boot", func(*testing.T) {}}, // the step before ended with it
		{"online", func(t *testing.T) {
			s.screen.Await(t, "uplink online", 0, online)
			s.screen.AwaitSpan(t, s.screen.Count(), 7*time.Second)
		}},
		{"backlog begins to drain", func(t *testing.T) {
			s.cloud.Stop(t)
			s.screen.AwaitSpan(t, s.screen.Count(), 15*time.Second)
			s.cloud.Start(t)
			s.screen.Await(t, "uplink online", 0, online)
		}},
		{"systemctl stop", func(t *testing.T) { s.board.run(t, "systemctl stop --no-block fieldgate") }},
	}
	var all, unjudged []powerCut
	from := s.screen.Count()
	for n := range *cuts {
		now, next := phases[n%len(phases)], phases[(n+1)%len(phases)]
		now.wait(t)
		<-time.After(rand.N(time.Second)) // anywhere between two readings, or in a write
		s.board.cut()
		seen, st, _ := s.screen.Snapshot()
		unjudged = append(unjudged, powerCut{now.name, seen[from:], time.Duration(st.Store.LossWindow * float64(time.Second))})
		from = len(seen)
		if n+1 == *cuts {
			s.board.options = "overlayroot=tmpfs" // for storeInRAM
		}
		t.Logf("pi: cut %d, %s; boot to ssh %.0f s", n+1, now.name, s.board.boot().Seconds())
		s.screen.Await(t, "a reading after the cut", from, func(rs []e2e.Reading, _ e2e.Status) bool {
			return slices.ContainsFunc(rs, func(r e2e.Reading) bool { return r.Epoch != seen[len(seen)-1].Epoch })
		})
		if next.name == phases[1].name && n+1 < *cuts {
			continue // at once
		}
		if !s.cloud.Running() {
			s.cloud.Start(t)
		}
		for _, c := range unjudged {
			s.judge(t, c)
		}
		all, unjudged = append(all, unjudged...), nil
	}
	held, _ := s.cloud.Await(t, "an answer", func(e2e.Log) bool { return true })
	s.check(t, held)
	t.Logf("pi: %d power cuts", len(all))
}

// storeInRAM: the last boot laid an overlay in RAM over the card. The gateway says so everywhere, and what the cloud did
// not get is gone with the power.
func (s *story) storeInRAM(t *testing.T) {
	s.screen.Await(t, "the condition of a volatile store", 0, func(_ []e2e.Reading, st e2e.Status) bool {
		return slices.ContainsFunc(st.Health, func(c e2e.Condition) bool {
			return c.Code == "store_volatile" && strings.Contains(c.Sentence, "is volatile") && strings.Contains(c.Sentence, "tmpfs")
		})
	})
	if said := s.board.run(t, "journalctl -b -u fieldgate | grep -c 'is volatile'"); said != "1" {
		t.Errorf("the journal says it %s times", said)
	}
	s.screen.Await(t, "uplink online", 0, online)
	s.cloud.Await(t, "the condition in the cloud", func(e2e.Log) bool {
		fleet, err := s.cloud.Fleet(t.Context())
		return err == nil && strings.Contains(fleet, "store_volatile")
	})
	s.cloud.Stop(t)
	from := s.screen.Count()
	s.screen.AwaitSpan(t, from, 10*time.Second)
	s.board.cut()
	seen, st, _ := s.screen.Snapshot()
	s.board.options = ""
	t.Logf("pi: a cut with the store in RAM; boot to ssh %.0f s", s.board.boot().Seconds())
	s.cloud.Start(t)
	s.forgotten(t, seen[len(seen)-1].Epoch)
	held, _ := s.cloud.Await(t, "an answer", func(e2e.Log) bool { return true })
	s.check(t, held)
	got, all := len(held.Lacks(seen[from:])), len(seen)-from
	if got < all/2 {
		t.Errorf("%d of %d readings were lost: the store was not in RAM", got, all)
	}
	t.Logf("pi: power cut (store in RAM): of %d readings seen on /ws while the cloud was away %d are lost; told loss window %.0f s",
		all, got, st.Store.LossWindow)
	s.screen.Await(t, "a store on the card", len(seen), func(_ []e2e.Reading, st e2e.Status) bool {
		return !slices.ContainsFunc(st.Health, func(c e2e.Condition) bool {
			return c.Code == "store_volatile"
		})
	})
}

// forgotten waits until the cloud says of an epoch that the gateway no longer knows it. The board has lost all that it
// knew of the epoch, so no gap can tell what is missing: the cloud must not call it complete.
func (s *story) forgotten(t *testing.T, epoch string) {
	t.Helper()
	var said struct {
		Complete bool   `json:"complete"`
		Sentence string `json:"sentence"`
		Epochs   []struct {
			End string `json:"end"`
		} `json:"epochs"`
	}
	s.cloud.Await(t, "the word that the gateway no longer knows the epoch in RAM", func(e2e.Log) bool {
		code, answer, err := s.cloud.Ask(t.Context(), http.MethodGet, "/completeness?epoch="+epoch, "")
		return err == nil && code == http.StatusOK && json.Unmarshal(answer, &said) == nil &&
			len(said.Epochs) == 1 && said.Epochs[0].End == "unlisted"
	})
	if said.Complete {
		t.Errorf("the cloud calls an epoch complete that the board has lost: %s", said.Sentence)
	}
	t.Logf("pi: the cloud says of it: %s", said.Sentence)
}

// judge looks what a cut cost.
func (s *story) judge(t *testing.T, c powerCut) {
	last := c.seen[len(c.seen)-1]
	held, _ := s.cloud.Await(t, "the end of the epoch that was cut", func(h e2e.Log) bool { return h.Ended[last.Epoch] != "" })
	missing := held.Lacks(c.seen)
	for _, r := range missing {
		if age := last.Timestamp.Sub(r.Timestamp); age > c.window {
			t.Errorf("lost: %s/%d, taken %v before the last one seen; the loss window is %v", r.Epoch, r.Seq, age, c.window)
		}
		if !held.Explained(r.Name()) {
			t.Errorf("lost and in no gap: %s/%d", r.Epoch, r.Seq)
		}
	}
	t.Logf("pi: power cut (%s): of %d readings seen on /ws %d are lost, all within the window of %v; the epoch ended with %q",
		c.phase, len(c.seen), len(missing), c.window, held.Ended[last.Epoch])
}
