package ledger

import (
	"strings"
	"testing"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/cloud/cloudtest"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// Several ends of the same readings: what each says is kept, until readings
// come behind them.
func TestOpenEndsOfOneEpoch(t *testing.T) {
	anchor := record.WireAnchor(cloudtest.BootAnchor(gateway.NewEpochID()))
	end := func(atMost uint64, t0, t1 int64) *wire.End {
		return &wire.End{Why: gateway.WhyUncleanStop, AtMost: atMost, T0: t0, T1: t1, Anchor: &anchor}
	}
	for _, c := range []struct {
		name       string
		ends       []*wire.End
		atMost     uint64
		from, upto int64
	}{
		{"one", []*wire.End{end(5, 20, 30)}, 5, 20, 30},
		{"the board learns the time", []*wire.End{end(5, 20, 0), end(5, 20, 30)}, 5, 20, 30},
		{"nothing bounds it", []*wire.End{end(gateway.AtMostUnknown, 20, 0)}, gateway.AtMostUnknown, 20, 0},
		{"the board learns what bounds it", []*wire.End{end(gateway.AtMostUnknown, 20, 0), end(5, 20, 30)}, 5, 20, 30},
		{"it learns more of the time first",
			[]*wire.End{end(gateway.AtMostUnknown, 20, 0), end(gateway.AtMostUnknown, 20, 40), end(5, 20, 30)}, 5, 20, 30},
		{"a copy that nothing bounds", []*wire.End{end(5, 20, 30), end(gateway.AtMostUnknown, 10, 40)}, gateway.AtMostUnknown, 10, 40},
		{"a copy before it", []*wire.End{end(3, 10, 15), end(5, 20, 30)}, 5, 10, 30},
		{"a copy after it", []*wire.End{end(5, 20, 30), end(3, 10, 15)}, 5, 10, 30},
		{"a copy that does not know the time", []*wire.End{end(5, 20, 30), end(3, 10, 0)}, 5, 10, 0},
		{"a copy that did not know the time", []*wire.End{end(3, 10, 0), end(5, 20, 30)}, 5, 10, 0},
	} {
		a := account{}
		for _, e := range c.ends {
			a.close(e)
		}
		newest := c.ends[len(c.ends)-1].Sum()
		if o := a.Open; o == nil || o.AtMost != c.atMost || o.T0 != c.from || o.T1 != c.upto || o.Sum != newest {
			t.Errorf("%s: %+v, want at most %d from %d to %d", c.name, o, c.atMost, c.from, c.upto)
		}
		if g := (gapAnswer{After: new(uint64), AtMost: a.Open.bound(), Why: gateway.WhyUncleanStop}); (c.atMost == gateway.AtMostUnknown) !=
			strings.HasPrefix(g.say(), "An unknown number of readings") {
			t.Errorf("%s: %s", c.name, g.say())
		}
		a.reopen()
		a.close(end(1, 40, 41))
		if o := a.Open; o.AtMost != 1 || o.T0 != 40 || o.T1 != 41 {
			t.Errorf("%s: behind new readings %+v", c.name, o)
		}
	}
}
