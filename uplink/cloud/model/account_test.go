package model

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/store/block"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// A fault is what must not be.
type fault string

// The kinds of faults.
const (
	twice  fault = "twice"  // a name is in the log two times
	hole   fault = "hole"   // a name is nowhere, and nothing says so
	untrue fault = "untrue" // what the log says was never so
	stuck  fault = "stuck"  // the line does not come to its end
)

// An account is what a log says, read record by record.
type account struct {
	ledger *ledger
	dec    *block.Decoder
	epochs map[gateway.EpochID]*held
	events map[gateway.Name]bool
	faults []string
	kinds  map[fault]string // the first of each
	tally  tally
	trace  []string // the records, for who must find out
}

// A tally says what histories were about.
type tally struct {
	records, readings, thinned, trimmed, void int
	open, closed, unlisted                    int // ends
	gaps                                      map[gateway.Why]uint64
}

// A held is what the log has of one epoch.
type held struct {
	upto   uint64
	closed bool
	opens  []*wire.End // behind upto
	opened time.Time   // when the first of them came
	state  byte        // what the newest state says of its end
	stored []storedAt  // when the log got what
}

// A storedAt says when the log got what it has up to a seq.
type storedAt struct {
	upto uint64
	at   time.Time
}

// uptoAt is how far the log had come at a time.
func (e *held) uptoAt(t time.Time) (upto uint64) {
	for _, s := range e.stored {
		if !s.at.After(t) {
			upto = max(upto, s.upto)
		}
	}
	return upto
}

// read takes an account of a log.
func (w *testbed) read(l record.Log) *account {
	a := &account{
		ledger: &w.ledger, dec: block.NewDecoder(), epochs: map[gateway.EpochID]*held{}, events: map[gateway.Name]bool{},
		kinds: map[fault]string{}, tally: tally{gaps: map[gateway.Why]uint64{}},
	}
	last := record.Record{}
	for r, err := range l.Read(context.Background(), gatewayID, 0) {
		w.must(err)
		void := last.Seq != 0 && r.Prev != last.ID
		a.trace = append(a.trace, fmt.Sprintf("%d %.4s behind %d %.4s, void %v, gen %d, %s %.8v/%d+%d, state %s",
			r.Seq, r.ID, r.PrevSeq, r.Prev, void, r.Gen, r.Kind, r.Epoch, r.First, r.N, r.State))
		if void {
			a.tally.void++
			continue
		}
		a.enter(r)
		last = r
	}
	for part := range strings.SplitSeq(last.State, ",") {
		var id gateway.EpochID
		if f := strings.Split(part, ":"); len(f) == 3 && f[2] != "e" && id.UnmarshalText([]byte(f[0])) == nil {
			if a.of(id).state = f[2][0]; f[2] == "u" {
				a.tally.unlisted++
			}
		}
	}
	return a
}

func (a *account) fault(kind fault, format string, args ...any) {
	said := string(kind) + ": " + fmt.Sprintf(format, args...)
	if a.kinds[kind] == "" {
		a.kinds[kind] = said
	}
	if len(a.faults) < 10 {
		a.faults = append(a.faults, said)
	}
}

func (a *account) of(id gateway.EpochID) *held {
	if a.epochs[id] == nil {
		a.epochs[id] = &held{}
	}
	return a.epochs[id]
}

func (a *account) upto(id gateway.EpochID) uint64 {
	if e := a.epochs[id]; e != nil {
		return e.upto
	}
	return 0
}

// enter takes a record in: it must go on where the epoch stands.
func (a *account) enter(r record.Record) {
	a.tally.records++
	switch r.Kind {
	case record.KindOpen:
		return
	case record.KindEvent:
		name := gateway.Name{Epoch: r.Epoch, Seq: r.First}
		if a.events[name] {
			a.fault(twice, "event %v in record %d", name, r.Seq)
		}
		a.events[name] = true
		return
	}
	m, err := wire.Decode(r.Body)
	u, ok := m.(*wire.Update)
	if err != nil || !ok || u.Epoch != r.Epoch {
		a.fault(untrue, "record %d holds %T: %v", r.Seq, m, err)
		return
	}
	e, last := a.of(r.Epoch), r.First+r.N-1
	switch {
	case r.First <= e.upto:
		a.fault(twice, "record %d holds %v/%d to %d; the log had them up to %d", r.Seq, r.Epoch, r.First, last, e.upto)
	case r.First > e.upto+1:
		a.fault(hole, "record %d holds %v/%d to %d; the log had them up to %d", r.Seq, r.Epoch, r.First, last, e.upto)
	case r.N > 0 && e.closed:
		a.fault(untrue, "record %d is behind the orderly end of %v", r.Seq, r.Epoch)
	}
	if r.First > u.First {
		a.tally.trimmed++
	}
	a.content(r, u)
	if r.N > 0 {
		e.upto, e.opens = max(e.upto, last), nil
		e.stored = append(e.stored, storedAt{last, r.At})
	}
	if u.End != nil && u.End.Closed != nil {
		e.closed = true
		a.tally.closed++
	} else if u.End != nil {
		if len(e.opens) == 0 {
			e.opened = r.At
		}
		e.opens = append(e.opens, u.End)
		a.tally.open++
	}
}

// content compares what a record counts with what was appended.
func (a *account) content(r record.Record, u *wire.Update) {
	p, last, next := a.ledger.of(r.Epoch), r.First+r.N-1, u.First
	if last > uint64(len(p.values)) {
		a.fault(untrue, "record %d holds %v up to %d, of which there are %d", r.Seq, r.Epoch, last, len(p.values))
		return
	}
	switch {
	case u.Gap != nil:
		next += u.N
		a.tally.gaps[u.Gap.Why] += r.N
		a.gap(r, u.Gap.Why)
	case u.Thinned != nil:
		next += u.N
		a.thinned(r, u, p)
	}
	for _, b := range u.Blocks {
		h, rs, err := a.dec.Decode(b)
		if err != nil || h.First != next || h.Epoch != r.Epoch {
			a.fault(untrue, "record %d: block %v where %d is next: %v", r.Seq, h.Range, next, err)
			return
		}
		a.readings(r, p, rs, next)
		next += h.N
	}
	if r.N > 0 && (u.First > r.First || next != last+1) {
		a.fault(untrue, "record %d counts %d to %d and holds %d to %d", r.Seq, r.First, last, u.First, next-1)
	}
}

func (a *account) readings(r record.Record, p *page, rs []gateway.Reading, seq uint64) {
	for i := range rs {
		if seq >= r.First && rs[i].Value != p.values[seq-1] {
			a.fault(untrue, "%v/%d is %v, was %v", r.Epoch, seq, rs[i].Value, p.values[seq-1])
		}
		if seq >= r.First {
			a.tally.readings++
		}
		seq++
	}
}

// gap: why a reading is not there must be true too. What the log had and lost
// a gateway may have forgotten if the log had it for long enough, or if it was
// only in the memory of a board that lost its power (or of the original of a
// copied card), or was given up: nobody has it any more.
func (a *account) gap(r record.Record, why gateway.Why) {
	p, last := a.ledger.of(r.Epoch), r.First+r.N-1
	switch {
	case why == gateway.WhyForgottenAfterAck && (last <= p.late || last <= p.lost && (p.ended && r.First > p.onCard || last <= p.given)):
	case why == gateway.WhyDropped && last <= p.given:
	default:
		a.fault(untrue, "the gap %v/%d to %d, %s; the log had lost it up to %d, and up to %d when the gateway may have forgotten it; "+
			"power lost %v, on the card %d", r.Epoch, r.First, last, why, p.lost, p.late, p.ended, p.onCard)
	}
}

// thinned: the summaries count every reading once, and say how large they were.
func (a *account) thinned(r record.Record, u *wire.Update, p *page) {
	a.tally.thinned += int(r.N)
	h, sums, err := a.dec.Summaries(u.Thinned)
	if err != nil || h.First != u.First || h.N != u.N || h.Last() > p.given {
		a.fault(untrue, "record %d: summaries of %v: %v", r.Seq, h.Range, err)
		return
	}
	values := p.values[h.First-1 : h.Last()]
	for _, s := range sums {
		if s.N > uint64(len(values)) {
			a.fault(untrue, "record %d: more summed up than %d readings", r.Seq, h.N)
			return
		}
		own := values[:s.N]
		values = values[s.N:]
		total := 0.0
		for _, v := range own {
			total += v
		}
		if mean := total / float64(s.N); s.Min != slices.Min(own) || s.Max != slices.Max(own) || math.Abs(s.Mean-mean) > 0.01*(1+mean) {
			a.fault(untrue, "record %d sums up %d readings as %+v", r.Seq, len(own), s)
		}
	}
	if len(values) > 0 {
		a.fault(untrue, "record %d: %d readings not summed up", r.Seq, len(values))
	}
}
