// Package conflate is the bounded queue of one reader that may be slow. What
// no longer fits is left out by key and counted; a newer value stands for an
// older one.
package conflate

import (
	"slices"
	"time"
)

// A Queue holds what its reader has not taken yet, at most Max values. It
// locks nothing: its owner does.
type Queue[K comparable, V any] struct {
	Max int // values
	// Patience is for how long the reader may go on losing values before it is
	// Slow; 0: for ever. It may be set later: the time begins with the next loss.
	Patience time.Duration

	items  []item[K, V] // oldest first
	counts map[K]int    // how many of a key are queued; none is 0
	lost   uint64       // left out since the last Take
	behind time.Time    // when losing began; zero while the reader keeps up
	slow   bool
}

type item[K comparable, V any] struct {
	key   K
	value V
}

// Push queues a value and reports whether another one was left out for it: the
// oldest that a newer one of its key supersedes; if every key waits only once,
// the oldest.
func (q *Queue[K, V]) Push(key K, value V) (dropped bool) {
	if q.counts == nil {
		q.items, q.counts = make([]item[K, V], 0, q.Max), map[K]int{}
	}
	q.counts[key]++
	if dropped = len(q.items) == q.Max; dropped {
		q.drop()
	}
	q.items = append(q.items, item[K, V]{key, value})
	return dropped
}

func (q *Queue[K, V]) drop() {
	i := max(0, slices.IndexFunc(q.items, func(it item[K, V]) bool { return q.counts[it.key] > 1 }))
	q.forget(q.items[i].key)
	q.items = slices.Delete(q.items, i, i+1)
	q.lost++
	switch {
	case q.Patience == 0:
	case q.behind.IsZero():
		q.behind = time.Now()
	case time.Since(q.behind) > q.Patience:
		q.slow = true
	}
}

func (q *Queue[K, V]) forget(key K) {
	if q.counts[key]--; q.counts[key] == 0 {
		delete(q.counts, key)
	}
}

// Len is how many values are queued.
func (q *Queue[K, V]) Len() int { return len(q.items) }

// Slow reports whether the reader went on losing values for longer than
// Patience. That stays so.
func (q *Queue[K, V]) Slow() bool { return q.slow }

// Take gives every queued value, oldest first, and how many were left out since
// the last Take. A reader that takes without a loss keeps up.
func (q *Queue[K, V]) Take(give func(V)) (lost uint64) {
	for i := range q.items {
		give(q.items[i].value)
	}
	clear(q.items) // nothing of them is kept alive
	q.items = q.items[:0]
	clear(q.counts)
	if lost, q.lost = q.lost, 0; lost == 0 {
		q.behind = time.Time{}
	}
	return lost
}

// Delete takes the values of some keys out; they do not count as lost.
func (q *Queue[K, V]) Delete(of func(K) bool) {
	q.items = slices.DeleteFunc(q.items, func(it item[K, V]) bool {
		if !of(it.key) {
			return false
		}
		q.forget(it.key)
		return true
	})
}
