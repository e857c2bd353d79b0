package ledger

import (
	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// What the ledger says beside the reasons that gateways give.
const (
	WhyThinned     gateway.Why = "thinned"     // summaries stand in place of the readings
	whyDamaged     gateway.Why = "damaged"     // the log holds a record that cannot be read
	whyUnwitnessed gateway.Why = "unwitnessed" // the log held them before the ledger began
	whyLogLost     gateway.Why = "log_lost"    // the log held them, and was lost
)

// A span is a range of one epoch whose single readings the cloud does not
// have. Its stamps are of Anchor's boot; the anchor is the one that came with
// it, for want of a better one.
type span struct {
	First  uint64      `json:"first"`
	N      uint64      `json:"n"`
	Why    gateway.Why `json:"why"`
	T0     int64       `json:"t0"` // µs of BOOTTIME
	T1     int64       `json:"t1"`
	Anchor wire.Anchor `json:"anchor"`
}

func (s span) last() uint64 { return s.First + s.N - 1 }

// addSpan appends s, or makes the last span longer if s goes on with it.
func addSpan(spans []span, s span) []span {
	if n := len(spans); n > 0 {
		l := &spans[n-1]
		if l.last()+1 == s.First && l.Why == s.Why && l.Anchor.Boot == s.Anchor.Boot && l.Anchor.Offset == s.Anchor.Offset {
			l.N += s.N
			l.T0, l.T1 = min(l.T0, s.T0), max(l.T1, s.T1)
			return spans
		}
	}
	return append(spans, s)
}

// cutSpans leaves out what lies above upto.
func cutSpans(spans []span, upto uint64) []span {
	for n := len(spans); n > 0; n-- {
		l := &spans[n-1]
		if l.First <= upto {
			l.N = min(l.N, upto-l.First+1)
			return spans[:n]
		}
	}
	return nil
}
