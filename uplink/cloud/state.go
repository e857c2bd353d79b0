package cloud

import (
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// maxEpochs is how many epochs a state keeps; above it the oldest finished
// ones that the gateway no longer names are dropped. Every record carries the
// whole state in a header, and NATS takes 64 KiB of headers.
const maxEpochs = 512

// An ending says whether and how an epoch ended, as far as the log knows.
type ending byte

const (
	endNone     ending = '-' // still growing
	endClosed   ending = 'c' // orderly; final
	endOpen     ending = 'o' // by an open gap
	endUnlisted ending = 'u' // the gateway no longer knows it; nobody knows how it ended
)

// An epochState is what the log holds of one epoch.
type epochState struct {
	id   gateway.EpochID
	upto uint64 // stored up to here without a hole
	end  ending
	sum  uint32 // tells one open gap from another
}

func (e epochState) done() bool { return e.end == endClosed || e.end == endOpen }

// A state is what the log holds of a gateway's epochs, in the order in which
// they were first heard of.
type state []epochState

// String gives the form in Fg-State: "epoch:upto:end[sum]" joined by commas.
func (s state) String() string {
	b := make([]byte, 0, 48*len(s))
	for i, e := range s {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, e.id.String()...)
		b = append(b, ':')
		b = strconv.AppendUint(b, e.upto, 10)
		b = append(b, ':', byte(e.end))
		if e.end == endOpen {
			b = strconv.AppendUint(b, uint64(e.sum), 16)
		}
	}
	return string(b)
}

func parseState(text string) (state, error) {
	if text == "" {
		return nil, nil
	}
	var s state
	for part := range strings.SplitSeq(text, ",") {
		e, err := parseEpochState(part)
		if err != nil {
			return nil, fmt.Errorf("parse state of epoch %q: %w", part, err)
		}
		s = append(s, e)
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
	for _, e := range s {
		if e.id == id {
			return e
		}
	}
	return epochState{id: id, end: endNone}
}

// with gives a state in which e stands; s itself is not changed.
func (s state) with(e epochState) state {
	out := append(state(nil), s...)
	for i := range out {
		if out[i].id == e.id {
			out[i] = e
			return out
		}
	}
	return append(out, e)
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
	surplus := len(out) - maxEpochs
	kept := state{}
	for _, e := range out {
		if surplus > 0 && e.done() && !named[e.id] {
			surplus--
			continue
		}
		if h.All && e.end == endNone && !named[e.id] {
			e.end = endUnlisted
		}
		kept = append(kept, e)
	}
	return kept
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
	text := fmt.Sprintf("%s %d %d %d", end.Why, end.AtMost, end.T0, end.T1)
	return endOpen, crc32.ChecksumIEEE([]byte(text))
}

func (e epochState) ack() wire.EpochAck {
	return wire.EpochAck{Epoch: e.id, Upto: e.upto, Done: e.done()}
}
