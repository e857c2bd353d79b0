package sample

import (
	"context"
	"sync"
	"time"
)

// hangAfter is how long after its timeout a visit that has not returned is
// called hanging.
const hangAfter = 5 * time.Second

// A visit is the context of one visit to a device after the other. Its done
// channel is only made anew after it was closed, so that a visit that ends in
// time allocates nothing. A sensor must not keep it beyond its method.
type visit struct {
	parent context.Context
	timer  *time.Timer // runs fire

	mu    sync.Mutex
	done  chan struct{}
	err   error
	until time.Time // end of the visit under way; zero between visits
	hang  func()    // told when it hangs; the visiting goroutine is then inside the visit
}

var _ context.Context = (*visit)(nil)

// newVisit makes a context under parent. Between visits its timer is idle.
func newVisit(parent context.Context) *visit {
	v := &visit{parent: parent, done: make(chan struct{})}
	v.timer = time.AfterFunc(time.Hour, v.fire)
	v.timer.Stop()
	context.AfterFunc(parent, func() {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.endLocked(parent.Err())
	})
	return v
}

// begin starts a visit of at most timeout.
func (v *visit) begin(timeout time.Duration, hang func()) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.err != nil && v.parent.Err() == nil {
		v.err, v.done = nil, make(chan struct{})
	}
	v.until, v.hang = time.Now().Add(timeout), hang
	v.timer.Reset(timeout)
}

// end ends the visit.
func (v *visit) end() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.until = time.Time{}
	v.timer.Stop()
}

// fire is run by the timer: at the end of the visit, and again hangAfter later.
// The timer of an earlier visit may still fire; then it is not yet time.
func (v *visit) fire() {
	v.mu.Lock()
	defer v.mu.Unlock()
	now := time.Now()
	if v.until.IsZero() || now.Before(v.until) {
		return
	}
	v.endLocked(context.DeadlineExceeded)
	if left := v.until.Add(hangAfter).Sub(now); left > 0 {
		v.timer.Reset(left)
		return
	}
	v.hang()
}

func (v *visit) endLocked(err error) {
	if v.err == nil {
		v.err = err
		close(v.done)
	}
}

// Deadline is part of context.Context, as are the three below.
func (v *visit) Deadline() (time.Time, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.until, !v.until.IsZero()
}

func (v *visit) Done() <-chan struct{} {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.done
}

func (v *visit) Err() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.err
}

func (v *visit) Value(key any) any { return v.parent.Value(key) }
