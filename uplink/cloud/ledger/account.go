package ledger

import (
	"cmp"
	"fmt"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

const (
	maxSpans     = 128 // in one document; what is more lies in parts
	segmentSize  = 256 // records of an epoch that the index knows as one
	maxSegments  = 1024
	unknownBound = 1<<63 - 1
)

// An account is what the ledger knows of one epoch. It follows from the
// records alone, in their order: to enter a record twice changes nothing.
type account struct {
	Epoch gateway.EpochID `json:"epoch"`
	Ord   uint64          `json:"ord"`             // the gateway's epochs in the order in which they were first heard of
	Line  string          `json:"line"`            // of the chain, see checkpoint
	Index string          `json:"index,omitempty"` // the line in which its index begins, if that is another
	Seq   uint64          `json:"seq"`             // newest record that is in it

	Upto    uint64        `json:"upto"` // accounted for up to here without a hole
	End     record.Ending `json:"end"`
	Open    *openGap      `json:"open,omitempty"` // behind upto; stays while an epoch that had ended goes on
	Missing uint64        `json:"missing"`        // readings up to upto that stand in gaps
	Thinned uint64        `json:"thinned"`        // … of which summaries are left
	Spans   []span        `json:"spans,omitempty"`
	Parts   int           `json:"parts,omitempty"` // documents that hold older spans, maxSpans each

	Boot  gateway.BootID       `json:"boot"`  // zero: its stamps are µs since 1970, from peers that say wall times
	Timed bool                 `json:"timed"` // T0 and T1 are known
	T0    int64                `json:"t0"`    // earliest and latest stamp of its readings, µs of BOOTTIME
	T1    int64                `json:"t1"`
	Worst gateway.ClockQuality `json:"worst"` // of the anchors that came with them
	// Others is when its readings of other boots were taken, by the anchors that
	// came with them: stamps of two boots cannot be compared.
	Others walls `json:"others,omitzero"`

	// Apart: its first event is not the boot of the store. It may be of a run whose card could not be read: epochs on the
	// card that are older can be heard of later.
	Apart bool `json:"apart,omitempty"`

	Since   time.Time `json:"since"` // when its first record came, and its newest
	Until   time.Time `json:"until"`
	From    uint64    `json:"from"` // sequence of its first record that holds something; 0: none yet
	Records uint64    `json:"records"`
	Bytes   uint64    `json:"bytes"`
	Tail    segment   `json:"tail"` // of the index, not yet full
	// Rebased is the newest record before the one that gave the epoch its boot:
	// what the index says of the times up to here is of another boot. 0: none.
	Rebased uint64    `json:"rebased,omitempty"`
	Ended   time.Time `json:"ended,omitzero"`
	Settled bool      `json:"settled"` // a later record proves that the end is in the log for good

	// What the log lost after the ledger had it: Claimed is how far it had come,
	// LogLost when a log began that does not name the epoch at all.
	Claimed uint64     `json:"claimed,omitempty"`
	LogLost *time.Time `json:"log_lost,omitempty"`

	dirty bool
	full  []segment // complete, not yet in the index
}

// An openGap is the end of an epoch that nobody saw. If two boards told of it
// (one card was a copy of the other), it spans what both say.
type openGap struct {
	record.OpenEnd
	Sum uint32 `json:"sum"` // wire.End.Sum of the newest
}

// A segment is a run of an epoch's records in the log.
type segment struct {
	First uint64 `json:"f"` // sequences of the log
	Last  uint64 `json:"l"`
	N     uint64 `json:"n"`  // records
	T0    int64  `json:"t0"` // stamps of all that they hold
	T1    int64  `json:"t1"`
}

func (a *account) done() bool { return a.End == record.EndClosed || a.End == record.EndOpen }

// held is how many single readings the cloud has got.
func (a *account) held() uint64 { return a.Upto - a.Missing - a.Thinned }

// enter takes a record in, which is the next of its epoch. u is nil if its
// body cannot be read. learn is given the anchors that came with it.
func (a *account) enter(r record.Record, u *wire.Update, learn func(wire.Anchor)) {
	if r.Seq <= a.Seq {
		return
	}
	a.dirty = true
	a.Seq, a.Until = r.Seq, r.At
	a.Records++
	a.Bytes += uint64(len(r.Body))
	if a.From == 0 {
		a.From = r.Seq
	}
	// The log had what lies between, else it would have refused this record; the
	// ledger never saw it.
	if r.N > 0 && r.First > a.Upto+1 {
		a.witness(r.First - 1)
	}
	in := content{account: a, learn: learn}
	in.take(r, u)
	a.index(r.Seq, in)
	if r.N > 0 || a.End == record.EndUnlisted {
		a.reopen()
	}
	a.Upto = max(a.Upto, r.First+r.N-1)
	// The gateway has sent again all that the log had lost.
	if a.Upto >= a.Claimed {
		a.Claimed = 0
	}
	if u != nil && u.End != nil {
		a.close(u.End)
	}
	switch {
	case !a.done():
		a.Ended = time.Time{}
	case a.Ended.IsZero():
		a.Ended = r.At
	}
}

// reopen lets an epoch go on that had ended by an open gap: that gap then lies
// behind what came. An orderly end is final.
func (a *account) reopen() {
	if a.End != record.EndClosed {
		a.End, a.Settled = record.EndNone, false
	}
}

func (a *account) close(e *wire.End) {
	switch {
	case e.Closed != nil && *e.Closed < a.Upto: // of a copy; see record.State.Judge. Logs of older versions have such ends
	case e.Closed != nil:
		a.End, a.Open = record.EndClosed, nil
	case a.End != record.EndClosed:
		o := openGap{record.OpenEndOf(e), e.Sum()}
		if a.End == record.EndOpen && a.Open != nil {
			o.OpenEnd = o.Join(a.Open.OpenEnd)
		}
		a.End, a.Open = record.EndOpen, &o
	}
}

// bound is how many readings are missing at most; nil if nothing bounds that.
func (o *openGap) bound() *uint64 {
	if o.AtMost == gateway.AtMostUnknown {
		return nil
	}
	return &o.AtMost
}

// witness notes readings of which only the resume state says that the log
// held them.
func (a *account) witness(upto uint64) {
	a.miss(span{First: a.Upto + 1, N: upto - a.Upto, Why: whyUnwitnessed, Anchor: wire.Anchor{Boot: a.Boot}})
	a.Upto = upto
}

func (a *account) miss(s span) {
	if s.Why == WhyThinned {
		a.Thinned += s.N
	} else {
		a.Missing += s.N
	}
	a.Spans = addSpan(a.Spans, s)
}

// index notes where in the log which times lie. What has none may be of any
// time.
func (a *account) index(seq uint64, in content) {
	t0, t1 := in.t0, in.t1
	if !in.timed {
		t0, t1 = -unknownBound, unknownBound
	}
	s := &a.Tail
	if s.N == 0 {
		*s = segment{First: seq, T0: t0, T1: t1}
	}
	s.Last, s.N = seq, s.N+1
	s.T0, s.T1 = min(s.T0, t0), max(s.T1, t1)
	if s.N == segmentSize {
		a.full = append(a.full, *s)
		*s = segment{}
	}
}

// rebase gives an epoch the boot of its first readings. The index may have
// stamps of another boot by then, also in what is stored of it; they say nothing
// any more.
func (a *account) rebase(boot gateway.BootID) {
	a.Boot, a.Rebased = boot, a.Seq-1
	if a.Tail.N > 0 {
		a.Tail.T0, a.Tail.T1 = -unknownBound, unknownBound
	}
	for i := range a.full {
		a.full[i].T0, a.full[i].T1 = -unknownBound, unknownBound
	}
}

// rewind goes back to what a log that has lost records says of the epoch.
func (a *account) rewind(e record.EpochState) {
	a.dirty = true
	// How far it had come stays known, until the gateway has sent that again.
	a.Claimed, a.LogLost = max(a.Claimed, a.Upto), nil
	for _, s := range a.Spans {
		if s.last() > e.Upto {
			lost := s.last() - max(s.First, e.Upto+1) + 1
			if s.Why == WhyThinned {
				a.Thinned -= lost
			} else {
				a.Missing -= lost
			}
		}
	}
	a.Spans = cutSpans(a.Spans, e.Upto)
	a.Upto, a.End, a.Ended, a.Settled = e.Upto, e.End, time.Time{}, false
	if a.End != record.EndOpen {
		a.Open = nil
	}
	if a.Open != nil {
		a.Open.Sum = e.Sum
	}
}

// moveTo makes the account one of another line of the chain, whose sequences
// are not those that it knows.
func (a *account) moveTo(line string) {
	a.Line, a.Index, a.Seq, a.From, a.Tail, a.Rebased, a.full, a.dirty = line, "", 0, 0, segment{}, 0, nil, true
}

// goOn makes the account one of the line of the chain that begins where the log
// lost its newest records: those up to last are what they were. Where it knew
// of others, all that is left of it is one segment of any time.
func (a *account) goOn(line string, last uint64) {
	switch {
	case a.Seq <= last:
		a.Index = a.indexLine()
		a.Line, a.dirty = line, true
	case a.From == 0 || a.From > last:
		a.moveTo(line)
	default:
		from := a.From
		a.moveTo(line)
		a.Seq, a.From = last, from
		a.Tail = segment{First: from, Last: last, N: 1, T0: -unknownBound, T1: unknownBound}
	}
}

// indexLine names the line of the chain in which the index of the epoch begins.
func (a *account) indexLine() string { return cmp.Or(a.Index, a.Line) }

// String tells of an account in one line, for messages.
func (a *account) String() string {
	return fmt.Sprintf("epoch %s: upto %d, end %c, %d missing, %d thinned", a.Epoch, a.Upto, a.End, a.Missing, a.Thinned)
}

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
