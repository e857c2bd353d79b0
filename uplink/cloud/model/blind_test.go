package model

import "testing"

// TestJudgeSees: in the same histories, on a log that does not keep one rule,
// the judge must find what that rule prevents.
func TestJudgeSees(t *testing.T) {
	outside(t)
	for _, c := range []struct {
		name   string
		life   life
		within int  // histories
		long   bool // only where there is time
	}{
		{"a log that fences nobody off", life{blind: unfenced}, 20, false},
		{"a log that does not trim what it has in part", life{blind: untrimmed, small: true}, 60, true},
	} {
		if c.long && *histories < soak {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			seed := max(1, *firstSeed) // always the same: these need to be found, not to be new
			for i := range c.within {
				c.life.seed = seed + uint64(i)
				if v := live(t, c.life); v.kinds[twice] > 0 {
					t.Logf("history %d, seed %d: the first of its faults: %.300s", i+1, c.life.seed, v.faults[0])
					return
				}
			}
			t.Errorf("%d histories from seed %d, and no name was found twice: the judge does not see", c.within, seed)
		})
	}
}
