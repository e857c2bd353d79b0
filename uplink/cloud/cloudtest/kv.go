package cloudtest

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fieldgate/fieldgate/uplink/cloud/record"
)

// A KV is a record.KV in memory.
type KV struct {
	Mu   sync.Mutex
	Docs map[string]record.Doc
	Puts int
	// Fault says of a Put whether it is carried out and what it answers.
	Fault func() (done bool, answer error)

	rev      uint64
	ends     map[string]time.Time // of documents that are deleted by themselves
	nextEnd  time.Time            // the first of these, or earlier
	watchers map[*watcher]bool
}

// A watcher is a Watch under way.
type watcher struct {
	prefix  string
	waiting []record.Doc
	more    chan struct{}
}

// Get implements record.KV.
func (s *KV) Get(_ context.Context, key string) (record.Doc, error) {
	if !validWords(key) {
		return record.Doc{}, fmt.Errorf("%q is no key", key)
	}
	s.Mu.Lock()
	defer s.Mu.Unlock()
	s.expireLocked()
	d, ok := s.Docs[key]
	if !ok {
		return record.Doc{}, record.ErrNoDoc
	}
	return d, nil
}

// Put implements record.KV.
func (s *KV) Put(_ context.Context, key string, body []byte, rev uint64, ttl time.Duration) (uint64, error) {
	if !validWords(key) {
		return 0, fmt.Errorf("%q is no key", key)
	}
	s.Mu.Lock()
	defer s.Mu.Unlock()
	s.expireLocked()
	s.Puts++
	if s.Fault != nil {
		if done, err := s.Fault(); !done {
			return 0, err
		} else if err != nil {
			s.putLocked(key, body, ttl)
			return 0, err
		}
	}
	if rev != record.AnyRev && s.Docs[key].Rev != rev {
		return 0, record.ErrRevision
	}
	return s.putLocked(key, body, ttl), nil
}

// Written is how often Put was called.
func (s *KV) Written() int {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	return s.Puts
}

func (s *KV) putLocked(key string, body []byte, ttl time.Duration) uint64 {
	if s.Docs == nil {
		s.Docs = map[string]record.Doc{}
	}
	s.rev++
	d := record.Doc{Key: key, Rev: s.rev, At: time.Now(), Body: append([]byte{}, body...)}
	s.Docs[key] = d
	delete(s.ends, key)
	if ttl > 0 {
		if s.ends == nil {
			s.ends = map[string]time.Time{}
		}
		end := time.Now().Add(ttl)
		if len(s.ends) == 0 || end.Before(s.nextEnd) {
			s.nextEnd = end
		}
		s.ends[key] = end
	}
	s.notifyLocked(d)
	return s.rev
}

// expireLocked deletes what has reached its end. Watchers learn of that when
// somebody next looks at any document.
func (s *KV) expireLocked() {
	now := time.Now()
	if len(s.ends) == 0 || now.Before(s.nextEnd) {
		return
	}
	s.nextEnd = now.Add(time.Hour)
	for key, end := range s.ends {
		if !now.Before(end) {
			s.deleteLocked(key)
		} else if end.Before(s.nextEnd) {
			s.nextEnd = end
		}
	}
}

func (s *KV) deleteLocked(key string) {
	if _, there := s.Docs[key]; there {
		delete(s.Docs, key)
		s.notifyLocked(record.Doc{Key: key})
	}
	delete(s.ends, key)
}

// Delete implements record.KV.
func (s *KV) Delete(_ context.Context, key string) error {
	if !validWords(key) {
		return fmt.Errorf("%q is no key", key)
	}
	s.Mu.Lock()
	defer s.Mu.Unlock()
	s.deleteLocked(key)
	return nil
}

// List implements record.KV.
func (s *KV) List(_ context.Context, prefix string) iter.Seq2[record.Doc, error] {
	if prefix != "" && !validWords(prefix) {
		return func(yield func(record.Doc, error) bool) { yield(record.Doc{}, fmt.Errorf("%q is no key", prefix)) }
	}
	s.Mu.Lock()
	defer s.Mu.Unlock()
	found := s.underLocked(prefix)
	return func(yield func(record.Doc, error) bool) {
		for _, d := range found {
			if !yield(d, nil) {
				return
			}
		}
	}
}

// underLocked gives the documents whose keys begin with these words, in the
// order of their keys.
func (s *KV) underLocked(prefix string) []record.Doc {
	s.expireLocked()
	var found []record.Doc
	for _, key := range slices.Sorted(maps.Keys(s.Docs)) {
		if under(key, prefix) {
			found = append(found, s.Docs[key])
		}
	}
	return found
}

func under(key, prefix string) bool {
	return prefix == "" || key == prefix || strings.HasPrefix(key, prefix+".")
}

// Watch implements record.KV.
func (s *KV) Watch(ctx context.Context, prefix string, notify func(record.Doc)) error {
	if prefix != "" && !validWords(prefix) {
		return fmt.Errorf("%q is no key", prefix)
	}
	w := &watcher{prefix: prefix, more: make(chan struct{}, 1)}
	s.Mu.Lock()
	w.waiting = s.underLocked(prefix)
	if s.watchers == nil {
		s.watchers = map[*watcher]bool{}
	}
	s.watchers[w] = true
	s.Mu.Unlock()
	defer func() {
		s.Mu.Lock()
		delete(s.watchers, w)
		s.Mu.Unlock()
	}()
	for ctx.Err() == nil {
		s.Mu.Lock()
		docs := w.waiting
		w.waiting = nil
		s.Mu.Unlock()
		for _, d := range docs {
			if ctx.Err() == nil {
				notify(d)
			}
		}
		select {
		case <-ctx.Done():
		case <-w.more:
		}
	}
	return nil
}

// notifyLocked tells watchers of a change.
func (s *KV) notifyLocked(d record.Doc) {
	for w := range s.watchers {
		if !under(d.Key, w.prefix) {
			continue
		}
		w.waiting = append(w.waiting, d)
		select {
		case w.more <- struct{}{}:
		default:
		}
	}
}

// validWords says whether s is words of [A-Za-z0-9_-] joined by dots.
func validWords(s string) bool {
	for word := range strings.SplitSeq(s, ".") {
		if word == "" || strings.Trim(word, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-") != "" {
			return false
		}
	}
	return len(s) <= 256
}
