package cloud

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// maxEpochs is how many epochs a session begins with; above it the oldest are
// dropped that the gateway no longer names. Within the session the state may
// grow to mostEpochs, and opening the next one adds at most the 256 of hello:
// so many unfinished ones there may be. Every record carries the whole state in
// a header, and NATS takes 64 KiB of headers; an unfinished epoch needs at most
// 55 bytes, an ended one 63.
const (
	maxEpochs  = 512
	mostEpochs = maxEpochs + 256
)

// maxEventEpochs is of how many openings of a gateway's store a state knows
// the events: an older one that sends again would be stored again.
const maxEventEpochs = 64

// An ending says whether and how an epoch ended, as far as the log knows.
type ending byte

const (
	endNone     ending = '-' // still growing
	endClosed   ending = 'c' // orderly; final
	endOpen     ending = 'o' // by an open gap
	endUnlisted ending = 'u' // the gateway no longer knows it; nobody knows how it ended
	endBare     ending = 'b' // still growing: the server names its readings
)

// An epochState is what the log holds of one epoch.
type epochState struct {
	id   gateway.EpochID
	upto uint64 // stored up to here without a hole
	end  ending
	sum  uint32 // tells one open gap from another
}

func (e epochState) done() bool { return e.end == endClosed || e.end == endOpen }

// An eventMark says up to where the log holds the events of one epoch. Their
// seqs grow, but leave numbers out.
type eventMark struct {
	epoch gateway.EpochID
	upto  uint64
}

// eventMarked stands in the place of an ending in the text of an eventMark.
const eventMarked = 'e'

// A state is what the log holds of a gateway. It is never changed in place.
type state struct {
	epochs []epochState // in the order in which they were first heard of
	events []eventMark  // that of the newest event last
}

// String gives the form in Fg-State: "epoch:upto:end[sum]" of epochs and
// "epoch:upto:e" of events, joined by commas.
func (s state) String() string {
	b := make([]byte, 0, 48*(len(s.epochs)+len(s.events)))
	for _, e := range s.epochs {
		b = appendMark(b, e.id, e.upto, byte(e.end))
		if e.end == endOpen {
			b = strconv.AppendUint(b, uint64(e.sum), 16)
		}
	}
	for _, m := range s.events {
		b = appendMark(b, m.epoch, m.upto, eventMarked)
	}
	return string(b)
}

func appendMark(b []byte, id gateway.EpochID, upto uint64, what byte) []byte {
	if len(b) > 0 {
		b = append(b, ',')
	}
	b = append(b, id.String()...)
	b = append(b, ':')
	b = strconv.AppendUint(b, upto, 10)
	return append(b, ':', what)
}

func parseState(text string) (state, error) {
	var s state
	if text == "" {
		return s, nil
	}
	for part := range strings.SplitSeq(text, ",") {
		e, err := parseEpochState(part)
		if err != nil {
			return state{}, fmt.Errorf("parse state of epoch %q: %w", part, err)
		}
		if e.end == eventMarked {
			s.events = append(s.events, eventMark{e.id, e.upto})
		} else {
			s.epochs = append(s.epochs, e)
		}
	}
	return s, nil
}

func parseEpochState(text string) (e epochState, err error) {
	f := strings.Split(text, ":")
	if len(f) != 3 || f[2] == "" {
		return e, fmt.Errorf("want epoch:upto:end")
	}
	if err = e.id.UnmarshalText([]byte(f[0])); err != nil {
		return e, err
	}
	if e.upto, err = strconv.ParseUint(f[1], 10, 64); err != nil {
		return e, err
	}
	e.end = ending(f[2][0])
	if e.end == endOpen {
		sum, err := strconv.ParseUint(f[2][1:], 16, 32)
		e.sum = uint32(sum)
		return e, err
	}
	return e, nil
}

// get gives what is known of an epoch: of an unknown one nothing, always.
func (s state) get(id gateway.EpochID) epochState {
	for _, e := range s.epochs {
		if e.id == id {
			return e
		}
	}
	return epochState{id: id, end: endNone}
}

func (s state) knows(id gateway.EpochID) bool {
	return slices.ContainsFunc(s.epochs, func(e epochState) bool { return e.id == id })
}

// with gives a state in which e stands.
func (s state) with(e epochState) state {
	s.epochs = slices.Clone(s.epochs)
	for i := range s.epochs {
		if s.epochs[i].id == e.id {
			s.epochs[i] = e
			return s
		}
	}
	s.epochs = append(s.epochs, e)
	return s
}

// holds reports whether the log has this event.
func (s state) holds(epoch gateway.EpochID, seq uint64) bool {
	for _, m := range s.events {
		if m.epoch == epoch {
			return seq <= m.upto
		}
	}
	return false
}

// withEvent gives a state in which this event is the newest.
func (s state) withEvent(epoch gateway.EpochID, seq uint64) state {
	marks := make([]eventMark, 0, len(s.events)+1)
	for _, m := range s.events {
		if m.epoch != epoch {
			marks = append(marks, m)
		}
	}
	marks = append(marks, eventMark{epoch, seq})
	s.events = marks[max(0, len(marks)-maxEventEpochs):]
	return s
}

// newestEvent names the event that the log got last; the zero name if it never
// got any. It is never nil: a welcome without it comes from a cloud that takes
// no events, and then none are sent.
func (s state) newestEvent() *wire.EventAck {
	if len(s.events) == 0 {
		return &wire.EventAck{}
	}
	m := s.events[len(s.events)-1]
	return &wire.EventAck{Epoch: m.epoch, Upto: m.upto}
}

// opened is the state after a hello: it has every epoch that hello names, and
// if hello names all unfinished ones, every other unfinished one is unlisted.
func (s state) opened(h *wire.Hello) state {
	named := make(map[gateway.EpochID]bool, len(h.Epochs))
	out := s
	for _, he := range h.Epochs {
		named[he.Epoch] = true
		e := s.get(he.Epoch)
		if e.end == endUnlisted {
			e.end = endNone
		}
		out = out.with(e)
	}
	kept := make([]epochState, 0, len(out.epochs))
	for _, e := range out.epochs {
		switch {
		case e.end == endBare: // its session cannot append any more
			e.end = endClosed
		case h.All && e.end == endNone && !named[e.id]:
			e.end = endUnlisted
		}
		kept = append(kept, e)
	}
	// Too many: first those of which the log holds nothing, then those that
	// ended, then those that the gateway no longer knows, the oldest of each.
	// One that is unfinished stays: were it forgotten, what comes of it again
	// would be stored again.
	surplus := len(kept) - maxEpochs
	for _, goes := range []func(epochState) bool{
		func(e epochState) bool { return e.upto == 0 && e.end == endNone },
		epochState.done,
		func(e epochState) bool { return e.end == endUnlisted },
	} {
		kept = slices.DeleteFunc(kept, func(e epochState) bool {
			drop := surplus > 0 && !named[e.id] && goes(e)
			if drop {
				surplus--
			}
			return drop
		})
	}
	out.epochs = kept
	return out
}

// A verdict says what becomes of an update.
type verdict int

const (
	repeat verdict = iota // the log has all of it: acknowledge again
	store                 // put it into the log, then acknowledge
	refuse                // not contiguous: nack with the expected seq
	final                 // behind an orderly end, where nothing can be
)

// judge says what becomes of u, and what its epoch is after it. It compares
// nothing but sequence numbers and ends; u's shape has been checked.
func (s state) judge(u *wire.Update) (verdict, epochState) {
	e := s.get(u.Epoch)
	last := u.First + u.N - 1
	if u.First > e.upto+1 {
		return refuse, e
	}
	news := last > e.upto
	if news && e.end == endClosed {
		return final, e
	}
	after := e
	if news {
		after.upto = last
	}
	if news || e.end == endUnlisted {
		after.end, after.sum = endNone, 0 // data behind an open gap reopens the epoch
	}
	if u.End != nil && e.end != endClosed {
		after.end, after.sum = endingOf(u.End)
	}
	if news || u.End != nil && (after.end != e.end || after.sum != e.sum) {
		return store, after
	}
	return repeat, after
}

func endingOf(end *wire.End) (ending, uint32) {
	if end.Closed != nil {
		return endClosed, 0
	}
	return endOpen, end.Sum()
}

func (e epochState) ack() wire.EpochAck {
	return wire.EpochAck{Epoch: e.id, Upto: e.upto, Done: e.done()}
}

// answer is the word of a welcome about the i-th epoch of hello. An end that
// another made of it, a copy of its card, is none of this gateway's.
func (s state) answer(h *wire.Hello, i int) wire.EpochAck {
	e := s.get(h.Epochs[i].Epoch)
	a := e.ack()
	switch {
	case e.end != endOpen:
	case h.Epochs[i].Growth == gateway.Closed:
		a.Done = false
	case i < len(h.Ends):
		a.Done = h.Ends[i] == e.sum
	}
	return a
}
