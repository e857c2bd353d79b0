package model

import (
	"testing"

	"github.com/fieldgate/fieldgate/uplink/cloud/record"
)

// TestJudgeSees: in the same histories, with one rule not kept, the judge must
// find what that rule prevents.
func TestJudgeSees(t *testing.T) {
	outside(t)
	for _, c := range []struct {
		name   string
		life   life
		fault  fault
		within int // histories
	}{
		{"a log that fences nobody off", life{ruleOff: unfenced}, twice, 20},
		{"a log in which no record is void", life{ruleOff: chainless}, twice, 20},
		{"a log that does not trim what it has in part", life{ruleOff: untrimmed}, twice, 20},
		{"a cloud that does not know what it has", life{ruleOff: forgetful}, twice, 20},
		{"a cloud that never takes back what it said", life{ruleOff: proud}, hole, 20},
		{"a gap that counts as nothing", life{ruleOff: uncounted(record.KindGap)}, hole, 20},
		{"thinned readings that count as nothing", life{ruleOff: uncounted(record.KindThinned), small: true}, hole, 20},
		{"open ends that are not kept", life{ruleOff: endless}, hole, 20},
		{"forgotten epochs that are not noted", life{ruleOff: listed}, hole, 20},
		{"acks before the record is stored", life{ruleOff: lossless}, untrue, 20},
		{"a gateway that keeps nothing that is acknowledged", life{ruleOff: hasty}, hole, 20},
		{"a gateway that does not go back", life{ruleOff: stubborn}, stuck, 20},
	} {
		t.Run(c.name, func(t *testing.T) {
			seed := max(1, *firstSeed) // always the same: these need to be found, not to be new
			for i := range c.within {
				c.life.seed = seed + uint64(i)
				if v := live(t, c.life); v.kinds[c.fault] != "" {
					t.Logf("history %d, seed %d: the first of its faults of this kind: %.300s", i+1, c.life.seed, v.kinds[c.fault])
					return
				}
			}
			t.Errorf("%d histories from seed %d, and not one fault of the kind %q: the judge does not see", c.within, seed, c.fault)
		})
	}
}
