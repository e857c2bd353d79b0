package sample

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// closed says whether a context is done.
func closed(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return true
	default:
		return false
	}
}

// The one context of all visits ends each in time, and does not carry the end
// of one over to the next.
func TestVisitsFollowEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		parent, cancel := context.WithCancel(context.WithValue(t.Context(), t, "value"))
		v := newVisit(parent)
		hangs := 0
		hang := func() { hangs++ }
		for i := range 3 {
			v.begin(time.Second, hang)
			if until, has := v.Deadline(); !has || time.Until(until) != time.Second {
				t.Errorf("visit %d ends at %v", i, until)
			}
			time.Sleep(999 * time.Millisecond)
			if closed(v) || v.Err() != nil {
				t.Errorf("visit %d ended early: %v", i, v.Err())
			}
			time.Sleep(time.Millisecond)
			synctest.Wait()
			if !closed(v) || !errors.Is(v.Err(), context.DeadlineExceeded) {
				t.Errorf("visit %d did not end: %v", i, v.Err())
			}
			v.end()
		}
		done := v.Done()
		v.begin(time.Second, hang)
		if v.Done() == done {
			t.Error("the end of a visit is the beginning of the next")
		}
		v.end()
		if _, has := v.Deadline(); has {
			t.Error("a visit that ended has a deadline")
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if closed(v) || hangs != 0 {
			t.Errorf("after the end of a visit: closed %v, hangs %d", closed(v), hangs)
		}
		v.begin(time.Second, hang)
		time.Sleep(time.Second + hangAfter)
		synctest.Wait()
		if hangs != 1 {
			t.Errorf("told %d times that it hangs", hangs)
		}
		v.end()
		v.begin(time.Second, hang)
		cancel()
		synctest.Wait()
		if !closed(v) || !errors.Is(v.Err(), context.Canceled) || v.Value(t) != "value" {
			t.Errorf("after the parent ended: %v", v.Err())
		}
		v.end()
		v.begin(time.Second, hang)
		if !closed(v) {
			t.Error("a visit began after the parent ended")
		}
		v.end()
	})
}
