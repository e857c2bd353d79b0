package cloud

import (
	"context"
	"errors"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fieldgate/fieldgate/uplink/cloud/record"
)

// A memShelf is a Shelf as a page of plain Go.
type memShelf struct {
	mu   sync.Mutex
	docs map[string]record.Doc
	rev  uint64
	puts int
	// fault says of a Put whether it is carried out and what it answers.
	fault func() (done bool, answer error)
}

func (s *memShelf) Get(_ context.Context, key string) (record.Doc, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d, ok := s.docs[key]
	if !ok {
		return record.Doc{}, record.ErrNoDoc
	}
	return d, nil
}

func (s *memShelf) Put(_ context.Context, key string, body []byte, rev uint64, _ time.Duration) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.puts++
	if s.fault != nil {
		if done, err := s.fault(); !done {
			return 0, err
		} else if err != nil {
			s.putLocked(key, body)
			return 0, err
		}
	}
	if rev != record.AnyRev && s.docs[key].Rev != rev {
		return 0, record.ErrRevision
	}
	return s.putLocked(key, body), nil
}

func (s *memShelf) written() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.puts
}

func (s *memShelf) putLocked(key string, body []byte) uint64 {
	if s.docs == nil {
		s.docs = map[string]record.Doc{}
	}
	s.rev++
	s.docs[key] = record.Doc{Key: key, Rev: s.rev, At: time.Now(), Body: slices.Clone(body)}
	return s.rev
}

func (s *memShelf) Delete(_ context.Context, key string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.docs, key)
	return nil
}

func (s *memShelf) List(_ context.Context, prefix string) iter.Seq2[record.Doc, error] {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []record.Doc
	for _, key := range slices.Sorted(maps.Keys(s.docs)) {
		if key == prefix || strings.HasPrefix(key, prefix+".") {
			found = append(found, s.docs[key])
		}
	}
	return func(yield func(record.Doc, error) bool) {
		for _, d := range found {
			if !yield(d, nil) {
				return
			}
		}
	}
}

func (s *memShelf) Watch(context.Context, string, func(record.Doc)) error {
	return errors.New("not here")
}
