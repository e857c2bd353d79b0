package jetstream

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/fieldgate/fieldgate/uplink/cloud/record"
)

var _ record.KV = (*Log)(nil)

const (
	headerGone   = "Fg-Gone"            // a document that was deleted
	headerReason = "Nats-Marker-Reason" // one that the server deleted, at the end of its ttl
	goneFor      = 24 * time.Hour       // how long watchers can learn of a deletion
	maxKey       = 256                  // bytes
)

// validWords says whether s is words of [A-Za-z0-9_-] joined by dots. Anything
// else could be a pattern, or more levels, to NATS.
func validWords(s string) bool {
	if len(s) > maxKey {
		return false
	}
	for w := range strings.SplitSeq(s, ".") {
		if w == "" || strings.ContainsFunc(w, func(c rune) bool {
			return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' && c != '-'
		}) {
			return false
		}
	}
	return true
}

func keyError(key string) error {
	return fmt.Errorf("key %.80q: want words of A-Z a-z 0-9 _ - joined by dots, at most %d bytes", key, maxKey)
}

// Get implements record.KV.
func (l *Log) Get(ctx context.Context, key string) (record.Doc, error) {
	doc, err := l.newest(ctx, key)
	if err == nil && doc.Body == nil {
		return record.Doc{}, fmt.Errorf("%s: %w", key, record.ErrNoDoc)
	}
	return doc, err
}

// newest is Get, but gives the trace of a deleted document too: Body is nil.
func (l *Log) newest(ctx context.Context, key string) (record.Doc, error) {
	if !validWords(key) {
		return record.Doc{}, keyError(key)
	}
	ctx, cancel := context.WithTimeout(ctx, l.opt.Timeout)
	defer cancel()
	m, err := l.docs.GetLastMsgForSubject(ctx, docPrefix+key)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return record.Doc{}, fmt.Errorf("%s: %w", key, record.ErrNoDoc)
	}
	if err != nil {
		return record.Doc{}, fmt.Errorf("%w: get %s: %w", record.ErrUnavailable, key, away(err))
	}
	return docOf(messageOf(m)), nil
}

func docOf(m message) record.Doc {
	d := record.Doc{Key: strings.TrimPrefix(m.subject, docPrefix), Rev: m.seq, At: m.at}
	if m.header.Get(headerGone) == "" && m.header.Get(headerReason) == "" {
		d.Body = append([]byte{}, m.data...)
	}
	return d
}

// Put implements record.KV. A ttl counts in whole seconds, rounded up.
func (l *Log) Put(ctx context.Context, key string, body []byte, rev uint64, ttl time.Duration) (uint64, error) {
	if !validWords(key) {
		return 0, keyError(key)
	}
	if err := l.fullBelow(docDiskFreePart); err != nil {
		return 0, fmt.Errorf("put %s: %w", key, err)
	}
	var opts []jetstream.PublishOpt
	if ttl > 0 {
		opts = append(opts, jetstream.WithMsgTTL(time.Duration(math.Ceil(ttl.Seconds()))*time.Second))
	}
	m := &nats.Msg{Subject: docPrefix + key, Data: body}
	now, err := l.putAt(ctx, m, rev, opts)
	if rev == 0 && errors.Is(err, record.ErrFenced) {
		// The trace of a deleted document has a revision, but is not one.
		gone, e := l.newest(ctx, key)
		switch {
		case e == nil && gone.Body == nil:
			now, err = l.putAt(ctx, m, gone.Rev, opts)
		case errors.Is(e, record.ErrNoDoc):
			now, err = l.putAt(ctx, m, 0, opts)
		}
	}
	if errors.Is(err, record.ErrFenced) {
		err = record.ErrRevision
	}
	if err != nil {
		return 0, fmt.Errorf("put %s: %w", key, err)
	}
	return now, nil
}

func (l *Log) putAt(ctx context.Context, m *nats.Msg, rev uint64, opts []jetstream.PublishOpt) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, l.opt.Timeout)
	defer cancel()
	all := append([]jetstream.PublishOpt{jetstream.WithRetryAttempts(0)}, opts...)
	if rev != record.AnyRev {
		all = append(all, jetstream.WithExpectLastSequencePerSubject(rev))
	}
	sent := &nats.Msg{Subject: m.Subject, Data: m.Data, Header: nats.Header{}} // the options add headers
	for k, v := range m.Header {
		sent.Header[k] = v
	}
	ack, err := l.js.PublishMsg(ctx, sent, all...)
	if err != nil {
		return 0, classify(err)
	}
	return ack.Sequence, nil
}

// Delete implements record.KV. A document that is not there is no error.
func (l *Log) Delete(ctx context.Context, key string) error {
	if doc, err := l.newest(ctx, key); errors.Is(err, record.ErrNoDoc) || err == nil && doc.Body == nil {
		return nil
	} else if err != nil {
		return err
	}
	m := &nats.Msg{Subject: docPrefix + key, Header: nats.Header{headerGone: {"1"}}}
	if _, err := l.putAt(ctx, m, record.AnyRev, []jetstream.PublishOpt{jetstream.WithMsgTTL(goneFor)}); err != nil {
		return fmt.Errorf("delete %s: %w", key, err)
	}
	return nil
}

// docReader reads the documents whose keys begin with the words of prefix.
func (l *Log) docReader(prefix string) (*reader, error) {
	r := &reader{stream: l.docs, filters: []string{docPrefix + ">"}}
	if prefix != "" {
		if !validWords(prefix) {
			return nil, keyError(prefix)
		}
		r.filters = []string{docPrefix + prefix, docPrefix + prefix + ".>"}
	}
	return r, nil
}

// List implements record.KV.
func (l *Log) List(ctx context.Context, prefix string) iter.Seq2[record.Doc, error] {
	return func(yield func(record.Doc, error) bool) {
		r, err := l.docReader(prefix)
		if err != nil {
			yield(record.Doc{}, err)
			return
		}
		toTheEnd := func() (uint64, error) { return math.MaxUint64, nil }
		for m, err := range r.upTo(ctx, toTheEnd) {
			if err != nil {
				yield(record.Doc{}, fmt.Errorf("%w: list %s: %w", record.ErrUnavailable, prefix, away(err)))
				return
			}
			if doc := docOf(m); doc.Body != nil && !yield(doc, nil) {
				return
			}
		}
	}
}

// Watch implements record.KV. It returns nil when ctx is done.
func (l *Log) Watch(ctx context.Context, prefix string, notify func(record.Doc)) error {
	r, err := l.docReader(prefix)
	if err != nil {
		return err
	}
	defer r.close(ctx)
	for pause := readPause; ; pause = min(2*pause, pauseAtMost) {
		m, err := r.read(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil:
			pause = readPause
			notify(docOf(m))
			continue
		}
		l.opt.Logger.Warn("cannot watch documents; trying again", "prefix", prefix, "error", err)
		sleep(ctx, pause)
	}
}
