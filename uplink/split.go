package uplink

import (
	"context"
	"time"
)

const (
	splitWorth  = 4096            // readings that wait in the growing epoch; fewer go in one live message
	splitPause  = time.Minute     // between two splits
	splitWithin = 3 * time.Second // a card that takes longer is not waited for
)

// split begins a new epoch if the growing one has a backlog that is worth it.
// It does not wait; ended is closed when it is done.
func (u *Uplink) split() (ended <-chan struct{}) {
	states := u.o.Source.Epochs()
	if len(states) == 0 || !u.splitting.TryLock() {
		return nil
	}
	growing := states[len(states)-1]
	if growing.Last < growing.Acked+splitWorth || time.Since(u.lastSplit) < splitPause {
		u.splitting.Unlock()
		return nil
	}
	u.lastSplit = time.Now()
	done := make(chan struct{})
	u.parts.Go(func() {
		defer close(done)
		defer u.splitting.Unlock()
		if _, err := u.o.Source.Split(); err != nil {
			u.o.Log.Debug("the epoch was not split; live readings wait behind the backlog", "error", err)
		}
	})
	return done
}

// splitFirst splits before a session begins, so that its hello names both
// epochs, unless the card is slow: then it happens when it happens.
func (u *Uplink) splitFirst(ctx context.Context) {
	ended := u.split()
	if ended == nil {
		return
	}
	select {
	case <-ctx.Done():
	case <-ended:
	case <-time.After(splitWithin):
	}
}
