package conflate_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fieldgate/fieldgate/gateway/conflate"
)

func take(q *conflate.Queue[string, int]) (values []int, lost uint64) {
	lost = q.Take(func(v int) { values = append(values, v) })
	return values, lost
}

// The newest value of a key outlives older ones of it; where every key waits
// once, the oldest goes.
func TestWhatIsLeftOut(t *testing.T) {
	q := &conflate.Queue[string, int]{Max: 3}
	for i, key := range []string{"a", "b", "b", "c", "b"} {
		if dropped := q.Push(key, i); dropped != (i >= 3) {
			t.Errorf("%d of %s: dropped %v", i, key, dropped)
		}
	}
	if got, lost := take(q); !slices.Equal(got, []int{0, 3, 4}) || lost != 2 {
		t.Errorf("took %v, lost %d", got, lost)
	}
	for i, key := range []string{"a", "b", "c", "d"} {
		q.Push(key, i)
	}
	if got, lost := take(q); !slices.Equal(got, []int{1, 2, 3}) || lost != 1 {
		t.Errorf("took %v, lost %d", got, lost)
	}
	if got, lost := take(q); got != nil || lost != 0 || q.Len() != 0 {
		t.Errorf("took %v, lost %d, %d left", got, lost, q.Len())
	}
}

func TestQueueDelete(t *testing.T) {
	q := &conflate.Queue[string, int]{Max: 3}
	for i, key := range []string{"a", "b", "a"} {
		q.Push(key, i)
	}
	q.Delete(func(key string) bool { return key == "a" })
	q.Push("a", 3)
	q.Push("c", 4)
	if q.Push("d", 5); q.Len() != 3 {
		t.Errorf("%d queued", q.Len())
	}
	if got, lost := take(q); !slices.Equal(got, []int{3, 4, 5}) || lost != 1 {
		t.Errorf("took %v, lost %d", got, lost)
	}
}

// Who goes on losing is slow after its patience, not before; who takes without
// a loss begins anew.
func TestQueueSlowAfterPatience(t *testing.T) {
	synctest.Test(t, func(*testing.T) {
		q := &conflate.Queue[string, int]{Max: 1}
		lose := func() { q.Push("a", 1); q.Push("a", 2) }
		lose()
		time.Sleep(time.Hour)
		lose()
		if q.Slow() {
			t.Error("slow without a bound")
		}
		q.Patience = time.Minute
		take(q)
		take(q)
		lose()
		time.Sleep(time.Minute)
		lose()
		if q.Slow() {
			t.Error("slow within its patience")
		}
		take(q) // a loss is in it
		take(q)
		lose()
		time.Sleep(time.Second)
		if lose(); q.Slow() {
			t.Error("slow, though it kept up meanwhile")
		}
		time.Sleep(time.Minute)
		if lose(); !q.Slow() {
			t.Error("not slow after its patience")
		}
	})
}
