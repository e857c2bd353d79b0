package jetstream

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/fieldgate/fieldgate/uplink/cloud/record"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

var _ record.Log = (*Log)(nil)

// The headers of a record. The record's id is also its Nats-Msg-Id, so that
// the server knows a record that was published twice; a name made of epoch
// and range would take two different ends of one epoch for the same.
const (
	headerID      = nats.MsgIdHdr
	headerPrev    = "Fg-Prev"
	headerPrevSeq = "Fg-Prev-Seq"
	headerKind    = "Fg-Kind"
	headerGen     = "Fg-Gen"
	headerState   = "Fg-State"
	headerEpoch   = "Fg-Epoch"
	headerFirst   = "Fg-First"
	headerN       = "Fg-N"
	headerLane    = "Fg-Lane"
)

const (
	appendsAtOnce = 64               // of all gateways, each up to 256 KiB
	turnWithin    = 30 * time.Second // an append waits for its turn, at most
)

// JetStream's error codes that the client library has no names for.
const (
	codeStoreFailed jetstream.ErrorCode = 10077 // "maximum bytes exceeded" among others
	codeNoResources jetstream.ErrorCode = 10023
	codeNoStorage   jetstream.ErrorCode = 10047
	codeNoneLeft    jetstream.ErrorCode = 10002 // of what the account may have
)

// Last implements record.Log.
func (l *Log) Last(ctx context.Context, gatewayID string) (record.Record, error) {
	ctx, cancel := context.WithTimeout(ctx, l.opt.Timeout)
	defer cancel()
	m, err := l.stream.GetLastMsgForSubject(ctx, subjectPrefix+gatewayID)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return record.Record{}, record.ErrNoRecord
	}
	if err != nil {
		return record.Record{}, fmt.Errorf("%w: read newest record of %s: %w", record.ErrUnavailable, gatewayID, away(err))
	}
	return recordOf(messageOf(m))
}

// Append implements record.Log.
func (l *Log) Append(ctx context.Context, gatewayID string, after uint64, r record.Record) (uint64, error) {
	release, err := l.turn(ctx)
	if err != nil {
		return 0, fmt.Errorf("append record of %s: %w", gatewayID, err)
	}
	defer release()
	// Refused while there is room: after one write that fails for want of it, the
	// embedded server takes none until it is opened anew.
	if err := l.Full(); err != nil {
		return 0, fmt.Errorf("append record of %s: %w", gatewayID, err)
	}
	ctx, cancel := context.WithTimeout(ctx, l.opt.Timeout)
	defer cancel()
	// The server compares the place and stores in one step: of two sessions only one
	// gets it. The library tries nothing again, because a record that it takes for
	// lost may be stored; whoever calls finds that out by reading.
	m := &nats.Msg{Subject: subjectPrefix + gatewayID, Header: headerOf(r), Data: r.Body}
	ack, err := l.js.PublishMsg(ctx, m, jetstream.WithExpectLastSequencePerSubject(after), jetstream.WithRetryAttempts(0))
	if err != nil {
		return 0, fmt.Errorf("append record of %s: %w", gatewayID, classify(err))
	}
	// The answer comes when the record is as safe as Level says.
	if ack.Duplicate {
		return 0, fmt.Errorf("append record of %s: %w: it was published before", gatewayID, record.ErrFenced)
	}
	return ack.Sequence, nil
}

// turn waits until there are few enough appends under way: more would not be
// stored sooner, but wait in the server until they time out. What waits here
// has not been sent.
func (l *Log) turn(ctx context.Context) (release func(), err error) {
	wait := time.NewTimer(turnWithin)
	defer wait.Stop()
	select {
	case l.turns <- struct{}{}:
		return func() { <-l.turns }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", record.ErrUnavailable, ctx.Err())
	case <-wait.C:
		return nil, fmt.Errorf("%w: %d appends before this one were not answered", record.ErrUnavailable, appendsAtOnce)
	}
}

// classify tells by JetStream's error codes what a failed publish means. What
// is not listed is no answer to rely on: a timeout, no responders (503), too
// many requests (429), another record of this subject on its way in the
// cluster (10163).
func classify(err error) error {
	var api *jetstream.APIError
	if !errors.As(err, &api) {
		return fmt.Errorf("%w: %w", record.ErrUnavailable, away(err))
	}
	switch api.ErrorCode {
	case jetstream.JSErrCodeStreamWrongLastSequence, jetstream.JSErrCodeStreamWrongLastSequenceConstant:
		return fmt.Errorf("%w: %w", record.ErrFenced, err)
	case codeStoreFailed, codeNoResources, codeNoStorage, codeNoneLeft:
		return fmt.Errorf("%w: %w", record.ErrFull, err)
	}
	return fmt.Errorf("%w: %w", record.ErrUnavailable, err)
}

// away puts what the client library says of a connection that is broken into
// words: it speaks of the buffer that we do not let it have.
func away(err error) error {
	if errors.Is(err, nats.ErrReconnectBufExceeded) {
		return errNoConnection
	}
	return err
}

// Read implements record.Log.
func (l *Log) Read(ctx context.Context, gatewayID string, from uint64) iter.Seq2[record.Record, error] {
	return func(yield func(record.Record, error) bool) {
		r := &reader{stream: l.stream, filters: []string{subjectPrefix + gatewayID}, next: from}
		last := func() (uint64, error) {
			m, err := l.stream.GetLastMsgForSubject(ctx, subjectPrefix+gatewayID)
			if err != nil {
				return 0, err
			}
			return m.Sequence, nil
		}
		joint := newSeam(l.stream)
		for m, err := range r.upTo(ctx, last) {
			var rec record.Record
			if err == nil {
				err = joint.joins(ctx, m)
			}
			if err == nil {
				rec, err = recordOf(m)
			}
			if err != nil {
				yield(record.Record{}, fmt.Errorf("read records of %s: %w", gatewayID, err))
				return
			}
			if !yield(rec, nil) {
				return
			}
		}
	}
}

func headerOf(r record.Record) nats.Header {
	h := nats.Header{}
	h.Set(headerID, r.ID)
	h.Set(headerPrev, r.Prev)
	h.Set(headerPrevSeq, strconv.FormatUint(r.PrevSeq, 10))
	h.Set(headerKind, string(r.Kind))
	h.Set(headerGen, strconv.FormatUint(r.Gen, 10))
	h.Set(headerState, r.State)
	if r.Kind != record.KindOpen {
		h.Set(headerEpoch, r.Epoch.String())
		h.Set(headerFirst, strconv.FormatUint(r.First, 10))
		h.Set(headerN, strconv.FormatUint(r.N, 10))
		h.Set(headerLane, strconv.Itoa(int(r.Lane)))
	}
	return h
}

func recordOf(m message) (record.Record, error) {
	r := record.Record{
		Seq:   m.seq,
		At:    m.at,
		ID:    m.header.Get(headerID),
		Prev:  m.header.Get(headerPrev),
		Kind:  record.Kind(m.header.Get(headerKind)),
		State: m.header.Get(headerState),
		Body:  m.data,
	}
	var errs []error
	number := func(name string) uint64 {
		n, err := strconv.ParseUint(m.header.Get(name), 10, 64)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
		return n
	}
	r.PrevSeq, r.Gen = number(headerPrevSeq), number(headerGen)
	if r.Kind != record.KindOpen {
		r.First, r.N, r.Lane = number(headerFirst), number(headerN), wire.Lane(number(headerLane))
		errs = append(errs, r.Epoch.UnmarshalText([]byte(m.header.Get(headerEpoch))))
	}
	if err := errors.Join(errs...); err != nil {
		return r, fmt.Errorf("record %d is damaged: %w", m.seq, err)
	}
	return r, nil
}

// errDamaged: the server has left out a record whose checksum is wrong. It
// says nothing of it (found with nats-server 2.15), but the record behind it
// names it.
var errDamaged = errors.New("a record of the log is damaged, or was deleted by hand")

// A seam looks at every record that is read, in order, whether the one that it
// names as its predecessor was read too.
type seam struct {
	stream jetstream.Stream
	last   map[string]uint64 // place of the newest record by subject
}

func newSeam(s jetstream.Stream) *seam { return &seam{s, map[string]uint64{}} }

// joins gives errDamaged if a record is missing before m. Of the first record
// of a gateway nothing is known: those before it may have been purged. A
// predecessor that is now another gateway's record was lost with the log's
// tail: then m is void, which is for others to see.
func (s *seam) joins(ctx context.Context, m message) error {
	last, known := s.last[m.subject]
	s.last[m.subject] = m.seq
	prev, err := strconv.ParseUint(m.header.Get(headerPrevSeq), 10, 64)
	if err != nil || !known || prev <= last || prev >= m.seq {
		return nil
	}
	_, err = s.stream.GetMsg(ctx, prev)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return fmt.Errorf("record %d of %s: %w", prev, m.subject, errDamaged)
	}
	return err
}
