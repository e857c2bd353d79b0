package jetstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/fieldgate/fieldgate/uplink/cloud/record"
)

const (
	chunkBytes    = 256 << 10        // of a stream on its way, below any max_payload that is accepted
	chunkWithin   = 30 * time.Second // for one of them
	heardAfter    = 100 * time.Millisecond
	heardTries    = 100
	restoreWithin = 10 * time.Minute // until the cluster has built the stream of them
)

// Copied says how much was copied and compared.
type Copied struct{ Records, Documents int }

// CopyTo copies both streams to a cluster, where there must be nothing of them
// yet. Places, times and revisions stay as they are, so that gateways,
// consumers and the ledger go on where they were. Nobody may write to l
// meanwhile. After an error the copy is to be deleted, and l is as before.
//
// It is the server's own backup, restored at once. The servers of the cluster
// must be of the version that this program embeds, or newer: older ones do not
// know its form.
func (l *Log) CopyTo(ctx context.Context, opt Options) (n Copied, err error) {
	opt.Logger, opt.Timeout = l.opt.Logger, l.opt.Timeout
	there := &Log{opt: opt, stop: func() {}}
	defer there.Close()
	if err := there.connect(); err != nil {
		return n, err
	}
	replicas := opt.Replicas
	if replicas == 0 {
		replicas = replicasOfNew
	}
	for _, cfg := range []jetstream.StreamConfig{rawConfig(-1, replicas), docConfig(-1, replicas)} {
		if err := there.empty(ctx, cfg.Name); err != nil {
			return n, err
		}
		if err := l.copyStream(ctx, there, cfg); err != nil {
			return n, fmt.Errorf("copy stream %s: %w", cfg.Name, err)
		}
	}
	copied, err := Open(ctx, opt)
	if err != nil {
		return n, err
	}
	defer copied.Close()
	return l.compare(ctx, copied)
}

// empty makes sure that a stream is not there: one that a server has made
// and nobody has used goes away.
func (l *Log) empty(ctx context.Context, name string) error {
	s, err := l.js.Stream(ctx, name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look at stream %s: %w", name, err)
	}
	if state := s.CachedInfo().State; state.LastSeq > 0 {
		return fmt.Errorf("stream %s is there already and holds %d messages: nothing is copied over it", name, state.Msgs)
	}
	if err := l.js.DeleteStream(ctx, name); err != nil {
		return fmt.Errorf("delete the empty stream %s: %w", name, err)
	}
	return nil
}

// copyStream takes a snapshot here and restores it there, piece by piece.
func (l *Log) copyStream(ctx context.Context, there *Log, cfg jetstream.StreamConfig) error {
	inbox := l.conn.NewInbox()
	pieces, err := l.conn.SubscribeSync(inbox)
	if err != nil {
		return fmt.Errorf("listen for the snapshot: %w", err)
	}
	defer func() { _ = pieces.Unsubscribe() }()
	var snapshot struct {
		State json.RawMessage `json:"state"`
	}
	request := map[string]any{"deliver_subject": inbox, "no_consumers": true, "chunk_size": chunkBytes, "jsck": true}
	if err := l.ask(ctx, "SNAPSHOT."+cfg.Name, request, &snapshot); err != nil {
		return err
	}
	var restore struct {
		To string `json:"deliver_subject"`
	}
	if err := there.ask(ctx, "RESTORE."+cfg.Name, map[string]any{"config": cfg, "state": snapshot.State}, &restore); err != nil {
		return err
	}
	for {
		piece, err := next(ctx, pieces)
		if err != nil {
			return fmt.Errorf("take the snapshot: %w", err)
		}
		if len(piece.Data) == 0 { // the end, or why there is none
			if status := piece.Header.Get("Status"); status != "" && status != "204" {
				return fmt.Errorf("take the snapshot: %s %s", status, piece.Header.Get("Description"))
			}
			break
		}
		if err := there.hand(ctx, restore.To, piece.Data, chunkWithin); err != nil {
			return err
		}
		if err := piece.Respond(nil); err != nil && piece.Reply != "" {
			return fmt.Errorf("take the snapshot: %w", err)
		}
	}
	return there.hand(ctx, restore.To, nil, restoreWithin)
}

func next(ctx context.Context, sub *nats.Subscription) (*nats.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, chunkWithin)
	defer cancel()
	return sub.NextMsgWithContext(ctx)
}

// An apiError is what JetStream's API answers when it does not do something.
type apiError struct {
	Error *jetstream.APIError `json:"error"`
}

// ask makes a request to JetStream's API that the client library does not know.
func (l *Log) ask(ctx context.Context, what string, request, answer any) error {
	body, err := json.Marshal(request)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, chunkWithin)
	defer cancel()
	m, err := l.conn.RequestWithContext(ctx, "$JS.API.STREAM."+what, body)
	if err != nil {
		return fmt.Errorf("ask for %s: %w", what, err)
	}
	return answered(m.Data, answer)
}

func answered(data []byte, answer any) error {
	if len(data) == 0 {
		return nil
	}
	var failed apiError
	if err := json.Unmarshal(data, &failed); err != nil {
		return fmt.Errorf("answer of JetStream: %w", err)
	}
	if failed.Error != nil {
		return failed.Error
	}
	if answer == nil {
		return nil
	}
	return json.Unmarshal(data, answer)
}

// hand gives a piece to the server that restores, or nothing as the end.
func (l *Log) hand(ctx context.Context, to string, piece []byte, within time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	m, err := l.conn.RequestWithContext(ctx, to, piece)
	// The server that restores has told its subject before all others know it.
	// Who hears "no responders" was heard by nobody, so it may be said again.
	for try := 0; try < heardTries && errors.Is(err, nats.ErrNoResponders) && ctx.Err() == nil; try++ {
		select {
		case <-ctx.Done():
		case <-time.After(heardAfter):
			m, err = l.conn.RequestWithContext(ctx, to, piece)
		}
	}
	if err == nil {
		err = answered(m.Data, nil)
	}
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	return nil
}

// compare reads everything at both ends, and lets consumers go on where they
// were: to them the copy would be a new log.
func (l *Log) compare(ctx context.Context, copied *Log) (n Copied, err error) {
	from, err1 := l.stream.Info(ctx)
	to, err2 := copied.stream.Info(ctx)
	if err := errors.Join(err1, err2); err != nil {
		return n, fmt.Errorf("compare: %w", err)
	}
	if from.State.LastSeq != to.State.LastSeq || from.State.Msgs != to.State.Msgs {
		return n, fmt.Errorf("the copy has %d records up to %d, the log %d up to %d", to.State.Msgs, to.State.LastSeq,
			from.State.Msgs, from.State.LastSeq)
	}
	if n.Records, err = l.sameRecords(ctx, copied); err != nil {
		return n, err
	}
	for doc, err := range l.List(ctx, "") {
		if err != nil {
			return n, fmt.Errorf("compare: %w", err)
		}
		got, err := copied.Get(ctx, doc.Key)
		if err != nil {
			return n, fmt.Errorf("compare: %w", err)
		}
		if got.Rev != doc.Rev || string(got.Body) != string(doc.Body) {
			return n, fmt.Errorf("the copy of %s differs: revision %d, want %d", doc.Key, got.Rev, doc.Rev)
		}
		n.Documents++
	}
	return n, copied.adopt(ctx, from.Created, to.Created)
}

func (l *Log) sameRecords(ctx context.Context, copied *Log) (n int, err error) {
	r := &reader{stream: copied.stream, filters: []string{subjectPrefix + "*"}}
	defer r.close(ctx)
	for e, err := range l.Scan(ctx, 0) {
		if err != nil {
			return n, err
		}
		m, err := r.read(ctx)
		if err != nil {
			return n, fmt.Errorf("read the copy: %w", err)
		}
		if m.seq != e.Seq || m.header.Get(headerID) != e.ID || string(m.data) != string(e.Body) || !m.at.Equal(e.At) {
			return n, fmt.Errorf("the copy of record %d differs", e.Seq)
		}
		n++
	}
	return n, nil
}

// adopt makes the cursors of one stream those of another.
func (l *Log) adopt(ctx context.Context, from, to time.Time) error {
	for doc, err := range l.List(ctx, cursorPrefix[:len(cursorPrefix)-1]) {
		if err != nil {
			return fmt.Errorf("move the consumers: %w", err)
		}
		var at position
		if err := json.Unmarshal(doc.Body, &at); err != nil {
			return fmt.Errorf("%s: %w", doc.Key, err)
		}
		if !at.Of.Equal(from) || from.Equal(to) {
			continue
		}
		at.Of, at.Holder = to.UTC(), ""
		body, err := json.Marshal(at)
		if err == nil {
			_, err = l.Put(ctx, doc.Key, body, doc.Rev, 0)
		}
		if errors.Is(err, record.ErrRevision) {
			err = errors.New("somebody consumes the copy already")
		}
		if err != nil {
			return fmt.Errorf("move the consumers: %w", err)
		}
	}
	return nil
}
