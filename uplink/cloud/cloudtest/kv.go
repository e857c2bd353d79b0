package cloudtest

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

// A KV is a Shelf as a page of plain Go.
type KV struct {
	Mu   sync.Mutex
	Docs map[string]record.Doc
	rev  uint64
	Puts int
	// Fault says of a Put whether it is carried out and what it answers.
	Fault func() (done bool, answer error)
}

func (s *KV) Get(_ context.Context, key string) (record.Doc, error) {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	d, ok := s.Docs[key]
	if !ok {
		return record.Doc{}, record.ErrNoDoc
	}
	return d, nil
}

func (s *KV) Put(_ context.Context, key string, body []byte, rev uint64, _ time.Duration) (uint64, error) {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	s.Puts++
	if s.Fault != nil {
		if done, err := s.Fault(); !done {
			return 0, err
		} else if err != nil {
			s.putLocked(key, body)
			return 0, err
		}
	}
	if rev != record.AnyRev && s.Docs[key].Rev != rev {
		return 0, record.ErrRevision
	}
	return s.putLocked(key, body), nil
}

func (s *KV) Written() int {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	return s.Puts
}

func (s *KV) putLocked(key string, body []byte) uint64 {
	if s.Docs == nil {
		s.Docs = map[string]record.Doc{}
	}
	s.rev++
	s.Docs[key] = record.Doc{Key: key, Rev: s.rev, At: time.Now(), Body: slices.Clone(body)}
	return s.rev
}

func (s *KV) Delete(_ context.Context, key string) error {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	delete(s.Docs, key)
	return nil
}

func (s *KV) List(_ context.Context, prefix string) iter.Seq2[record.Doc, error] {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	var found []record.Doc
	for _, key := range slices.Sorted(maps.Keys(s.Docs)) {
		if key == prefix || strings.HasPrefix(key, prefix+".") {
			found = append(found, s.Docs[key])
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

func (s *KV) Watch(context.Context, string, func(record.Doc)) error {
	return errors.New("not here")
}
