package record

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// MaxEpochs is how many epochs a session begins with; above it the oldest are
// dropped that the gateway no longer names. Within the session the state may
// grow to MaxSessionEpochs, and opening the next one adds at most the 256 of hello:
// so many unfinished ones there may be. Every record carries the whole state in
// a header, and NATS takes 64 KiB of headers; an unfinished epoch needs at most
// 55 bytes, an ended one 63.
const (
	MaxEpochs        = 512
	MaxSessionEpochs = MaxEpochs + 256
)

// maxEventEpochs is of how many openings of a gateway's store a state knows
// the events: an older one that sends again would be stored again.
const maxEventEpochs = 64

// An Ending says whether and how an epoch ended, as far as the log knows.
type Ending byte

// The endings of an epoch.
const (
	EndNone     Ending = '-' // still growing
	EndClosed   Ending = 'c' // orderly; final
	EndOpen     Ending = 'o' // by an open gap
	EndUnlisted Ending = 'u' // the gateway no longer knows it; nobody knows how it ended
	EndBare     Ending = 'b' // still growing: the server names its readings
)

// An EpochState is what the log holds of one epoch.
type EpochState struct {
	ID   gateway.EpochID
	Upto uint64 // stored up to here without a hole
	End  Ending
	Sum  uint32 // tells one open gap from another
}

// Done tells whether the epoch has ended, by an orderly end or an open gap.
func (e EpochState) Done() bool { return e.End == EndClosed || e.End == EndOpen }

// An eventMark says up to where the log holds the events of one epoch. Their
// seqs grow, but leave numbers out.
type eventMark struct {
	epoch gateway.EpochID
	upto  uint64
}

// eventMarked stands in the place of an ending in the text of an eventMark.
const eventMarked = 'e'

// A State is what the log holds of a gateway. It is never changed in place.
type State struct {
	Epochs []EpochState // in the order in which they were first heard of
	events []eventMark  // that of the newest event last
}

// String gives the form in Fg-State: "epoch:upto:end[sum]" of epochs and
// "epoch:upto:e" of events, joined by commas.
func (s State) String() string {
	b := make([]byte, 0, 48*(len(s.Epochs)+len(s.events)))
	for _, e := range s.Epochs {
		b = appendMark(b, e.ID, e.Upto, byte(e.End))
		if e.End == EndOpen {
			b = strconv.AppendUint(b, uint64(e.Sum), 16)
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

// ParseState reads what String gives. Errors name the part that cannot be read.
func ParseState(text string) (State, error) {
	var s State
	if text == "" {
		return s, nil
	}
	for part := range strings.SplitSeq(text, ",") {
		e, err := parseEpochState(part)
		if err != nil {
			return State{}, fmt.Errorf("parse state of epoch %q: %w", part, err)
		}
		if e.End == eventMarked {
			s.events = append(s.events, eventMark{e.ID, e.Upto})
		} else {
			s.Epochs = append(s.Epochs, e)
		}
	}
	return s, nil
}

func parseEpochState(text string) (e EpochState, err error) {
	f := strings.Split(text, ":")
	if len(f) != 3 || f[2] == "" {
		return e, fmt.Errorf("want epoch:upto:end")
	}
	if err = e.ID.UnmarshalText([]byte(f[0])); err != nil {
		return e, err
	}
	if e.Upto, err = strconv.ParseUint(f[1], 10, 64); err != nil {
		return e, err
	}
	e.End = Ending(f[2][0])
	if e.End == EndOpen {
		sum, err := strconv.ParseUint(f[2][1:], 16, 32)
		e.Sum = uint32(sum)
		return e, err
	}
	return e, nil
}

// Get gives what is known of an epoch: of an unknown one nothing, always.
func (s State) Get(id gateway.EpochID) EpochState {
	for _, e := range s.Epochs {
		if e.ID == id {
			return e
		}
	}
	return EpochState{ID: id, End: EndNone}
}

// Knows tells whether the state names this epoch.
func (s State) Knows(id gateway.EpochID) bool {
	return slices.ContainsFunc(s.Epochs, func(e EpochState) bool { return e.ID == id })
}

// With gives a state in which e stands.
func (s State) With(e EpochState) State {
	s.Epochs = slices.Clone(s.Epochs)
	for i := range s.Epochs {
		if s.Epochs[i].ID == e.ID {
			s.Epochs[i] = e
			return s
		}
	}
	s.Epochs = append(s.Epochs, e)
	return s
}

// HoldsEvent reports whether the log has this event.
func (s State) HoldsEvent(epoch gateway.EpochID, seq uint64) bool {
	for _, m := range s.events {
		if m.epoch == epoch {
			return seq <= m.upto
		}
	}
	return false
}

// WithEvent gives a state in which this event is the newest.
func (s State) WithEvent(epoch gateway.EpochID, seq uint64) State {
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

// NewestEvent names the event that the log got last; the zero name if it never
// got any. It is never nil: a welcome without it comes from a cloud that takes
// no events, and then none are sent.
func (s State) NewestEvent() *wire.EventAck {
	if len(s.events) == 0 {
		return &wire.EventAck{}
	}
	m := s.events[len(s.events)-1]
	return &wire.EventAck{Epoch: m.epoch, Upto: m.upto}
}

// Opened is the state after a hello: it has every epoch that hello names, and
// if hello names all unfinished ones, every other unfinished one is unlisted.
func (s State) Opened(h *wire.Hello) State {
	named := make(map[gateway.EpochID]bool, len(h.Epochs))
	out := s
	for _, he := range h.Epochs {
		named[he.Epoch] = true
		e := s.Get(he.Epoch)
		if e.End == EndUnlisted {
			e.End = EndNone
		}
		out = out.With(e)
	}
	kept := make([]EpochState, 0, len(out.Epochs))
	for _, e := range out.Epochs {
		switch {
		case e.End == EndBare: // its session cannot append any more
			e.End = EndClosed
		case h.All && e.End == EndNone && !named[e.ID]:
			e.End = EndUnlisted
		}
		kept = append(kept, e)
	}
	// Too many: first those of which the log holds nothing, then those that
	// ended, then those that the gateway no longer knows, the oldest of each.
	// One that is unfinished stays: were it forgotten, what comes of it again
	// would be stored again.
	surplus := len(kept) - MaxEpochs
	for _, goes := range []func(EpochState) bool{
		func(e EpochState) bool { return e.Upto == 0 && e.End == EndNone },
		EpochState.Done,
		func(e EpochState) bool { return e.End == EndUnlisted },
	} {
		kept = slices.DeleteFunc(kept, func(e EpochState) bool {
			drop := surplus > 0 && !named[e.ID] && goes(e)
			if drop {
				surplus--
			}
			return drop
		})
	}
	out.Epochs = kept
	return out
}

// Ack is what an ack says of the epoch.
func (e EpochState) Ack() wire.EpochAck {
	return wire.EpochAck{Epoch: e.ID, Upto: e.Upto, Done: e.Done()}
}

// Answer is the word of a welcome about the i-th epoch of hello. An end that
// another made of it, a copy of its card, is none of this gateway's.
func (s State) Answer(h *wire.Hello, i int) wire.EpochAck {
	e := s.Get(h.Epochs[i].Epoch)
	a := e.Ack()
	switch {
	case e.End != EndOpen:
	case h.Epochs[i].Growth == gateway.Closed:
		a.Done = false
	case i < len(h.Ends):
		a.Done = h.Ends[i] == e.Sum
	}
	return a
}
