package jetstream

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// Messages that a reader asks for at once, of 256 KiB at most. Told a number
	// of bytes instead, the client library makes room for a million messages: 8
	// MB for every reader.
	readAhead   = 64
	readTries   = 15               // without progress, before a reader gives up: a cluster elects leaders meanwhile
	readPause   = time.Second      // before it tries again
	forgotten   = 5 * time.Minute  // after which the server drops a reader that asks for nothing
	soonWithin  = 2 * time.Second  // for a message that the stream's leader has
	quietWithin = 10 * time.Second // for any; then the leader is asked whether there is one
	pullExpiry  = 30 * time.Second // how long one request for messages stands
	thereWithin = time.Millisecond // for a message that has come already
)

// A message is what a stream holds at one place.
type message struct {
	subject string
	seq     uint64
	at      time.Time
	header  nats.Header
	data    []byte
	pending uint64 // how many more a reader has before it; unknown is 1
}

func messageOf(m *jetstream.RawStreamMsg) message {
	return message{m.Subject, m.Sequence, m.Time, m.Header, m.Data, 1}
}

// A reader follows a stream, in order and without leaving anything out. It
// holds a consumer in the server's memory, which it makes anew whenever that
// is lost. For one goroutine.
type reader struct {
	stream  jetstream.Stream
	filters []string
	next    uint64                    // the place it goes on from
	newest  bool                      // only the newest message of each subject, without its data
	name    string                    // of the consumer; "" before the first
	pending uint64                    // how many messages it has before it, as far as its server knows
	from    jetstream.MessagesContext // nil: none open
	given   uint64                    // messages of this consumer: one that is missing was lost on the way
}

func (r *reader) open(ctx context.Context) error {
	cfg := jetstream.ConsumerConfig{
		DeliverPolicy:     jetstream.DeliverByStartSequencePolicy,
		OptStartSeq:       max(r.next, 1),
		FilterSubjects:    r.filters,
		AckPolicy:         jetstream.AckNonePolicy,
		InactiveThreshold: forgotten,
		MemoryStorage:     true,
		Replicas:          1,
	}
	if r.newest {
		cfg.DeliverPolicy, cfg.OptStartSeq, cfg.HeadersOnly = jetstream.DeliverLastPerSubjectPolicy, 0, true
	}
	c, err := r.stream.CreateConsumer(ctx, cfg)
	if err != nil {
		return fmt.Errorf("make a reader: %w", err)
	}
	r.name, r.given, r.pending = c.CachedInfo().Name, 0, c.CachedInfo().NumPending
	r.from, err = c.Messages(jetstream.PullMaxMessages(readAhead), jetstream.PullExpiry(pullExpiry))
	if err != nil {
		return fmt.Errorf("read: %w", err)
	}
	return nil
}

// read gives the next message, for which it waits until ctx is done.
func (r *reader) read(ctx context.Context) (message, error) {
	for try := 1; ; try++ {
		m, err := r.readWithin(ctx, quietWithin)
		if err == nil && ctx.Err() == nil {
			r.next, r.pending = m.seq+1, m.pending
			return m, nil
		}
		if errors.Is(err, errLate) && !r.newest {
			try = 0
			if _, none := r.ask(ctx); errors.Is(none, jetstream.ErrMsgNotFound) {
				continue
			}
		}
		r.close(ctx)
		r.pending = 0
		if ctx.Err() != nil {
			return message{}, ctx.Err()
		}
		if try == readTries || r.newest || errors.Is(err, nats.ErrConnectionClosed) {
			return message{}, err
		}
		sleep(ctx, readPause)
	}
}

var errMissed = errors.New("a message was lost on the way from the server")

// there gives the next message if it has come already. Most are sent as they
// are stored, with nothing pending behind them, and wait here to be read.
func (r *reader) there(ctx context.Context) (message, bool) {
	if r.from == nil {
		return message{}, false
	}
	m, err := r.receive(jetstream.NextMaxWait(thereWithin))
	if errors.Is(err, errMissed) {
		r.close(ctx) // the next read begins anew behind what was read
	}
	if err != nil {
		return message{}, false
	}
	r.next, r.pending = m.seq+1, m.pending
	return m, true
}

// readWithin gives errLate if no message comes in time. The consumer is there
// then, but may be one that gives nothing for reasons of the server's.
func (r *reader) readWithin(ctx context.Context, d time.Duration) (message, error) {
	limited, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	m, err := r.readOnce(limited)
	if err != nil && limited.Err() != nil && ctx.Err() == nil {
		return m, errLate
	}
	return m, err
}

func (r *reader) readOnce(ctx context.Context) (message, error) {
	if r.from == nil {
		if err := r.open(ctx); err != nil {
			return message{}, err
		}
	}
	return r.receive(jetstream.NextContext(ctx))
}

func (r *reader) receive(how jetstream.NextOpt) (message, error) {
	m, err := r.from.Next(how)
	if err != nil {
		return message{}, fmt.Errorf("read: %w", err)
	}
	meta, err := m.Metadata()
	if err != nil {
		return message{}, fmt.Errorf("read: %w", err)
	}
	if r.given++; meta.Sequence.Consumer != r.given {
		return message{}, errMissed
	}
	return message{m.Subject(), meta.Sequence.Stream, meta.Timestamp, m.Headers(), m.Data(), meta.NumPending}, nil
}

// close gives the consumer up. The reader may go on afterwards with another.
func (r *reader) close(ctx context.Context) {
	if r.from != nil {
		r.from.Stop()
		r.from = nil
	}
	if r.name != "" {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readPause)
		defer cancel()
		_ = r.stream.DeleteConsumer(ctx, r.name) // else the server forgets it later
		r.name = ""
	}
}

// upTo gives the messages that match a filter with a place from next to last,
// as far as there are any. What is the end only the stream's leader knows: a
// reader may be served by a server that lags behind.
func (r *reader) upTo(ctx context.Context, last func() (uint64, error)) iter.Seq2[message, error] {
	return func(yield func(message, error) bool) {
		defer r.close(ctx)
		// Who wants one message only is not made to wait for a consumer.
		m, err := r.ask(ctx)
		if errors.Is(err, jetstream.ErrMsgNotFound) || !yield(m, err) || err != nil {
			return
		}
		end, err := last()
		r.next = m.seq + 1
		for late := 0; err == nil && r.next <= end; {
			if r.pending == 0 {
				_, err = r.ask(ctx)
			}
			if err == nil {
				m, err = r.soon(ctx)
			}
			if errors.Is(err, errLate) && late < readTries {
				late, err = late+1, nil // it was deleted meanwhile, or comes yet
				continue
			}
			late = 0
			if err == nil && !yield(m, nil) {
				return
			}
		}
		if err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) {
			yield(message{}, err)
		}
	}
}

var errLate = errors.New("no message came in time")

// soon is read for a message that should be there. The server counts damaged
// messages as pending, but does not give them. After errLate the next read
// begins with another consumer.
func (r *reader) soon(ctx context.Context) (message, error) {
	m, err := r.readWithin(ctx, soonWithin)
	switch {
	case err == nil:
		r.next, r.pending = m.seq+1, m.pending
		return m, nil
	case errors.Is(err, errLate):
		r.close(ctx)
		r.pending = 0
		return message{}, errLate
	}
	r.close(ctx)
	return r.read(ctx)
}

// ask asks the stream's leader for the next message, but does not go on to it.
func (r *reader) ask(ctx context.Context) (found message, err error) {
	err = jetstream.ErrMsgNotFound
	for _, filter := range r.filters {
		m, e := r.getMsg(ctx, filter)
		switch {
		case errors.Is(e, jetstream.ErrMsgNotFound):
		case e != nil:
			return message{}, fmt.Errorf("look for the next message: %w", e)
		case err != nil || m.Sequence < found.seq:
			found, err = messageOf(m), nil
		}
	}
	return found, err
}

// getMsg asks again while the stream has no leader, which is soon over.
func (r *reader) getMsg(ctx context.Context, filter string) (*jetstream.RawStreamMsg, error) {
	for try := 1; ; try++ {
		m, err := r.stream.GetMsg(ctx, max(r.next, 1), jetstream.WithGetMsgSubject(filter))
		var api *jetstream.APIError
		if !errors.As(err, &api) || api.Code != http.StatusServiceUnavailable || try == readTries || r.newest {
			return m, err
		}
		if sleep(ctx, readPause); ctx.Err() != nil {
			return nil, err
		}
	}
}

// sleep waits for d, or less when ctx is done.
func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
