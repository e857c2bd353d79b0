package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/store"
)

const (
	deliveryLook = 20 * time.Millisecond
	proofWithin  = 10 * time.Second // the cloud's ledger is a moment behind its acks
)

// A due is what waited for the cloud at a time.
type due struct {
	store *store.Store
	n     uint64
	began time.Time
	last  map[gateway.EpochID]uint64
}

func owedOf(s *store.Store) *due {
	d := &due{store: s, began: time.Now(), last: map[gateway.EpochID]uint64{}}
	for _, e := range s.Epochs() {
		d.last[e.ID] = e.Last
	}
	d.n = d.left()
	return d
}

// left is how much of it still waits.
func (d *due) left() (n uint64) {
	for _, e := range d.store.Epochs() {
		if last := d.last[e.ID]; last > e.Acked && !e.Done {
			n += last - max(e.Acked, e.Oldest-1)
		}
	}
	return n
}

// tell tells how it gets less, and at the end what the cloud says of it.
func (d *due) tell(ctx context.Context, cloud *demoCloud, out io.Writer) {
	ticker := time.NewTicker(deliveryLook)
	defer ticker.Stop()
	told := time.Now()
	for left := d.left(); left > 0; left = d.left() {
		if time.Since(told) >= tellEvery {
			told = time.Now()
			fmt.Fprintf(out, "uplink restored: %d of %d readings still wait on this board\n", left, d.n)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
	took := time.Since(d.began)
	fmt.Fprintf(out, "%d readings delivered in %.1f s, %s\n", d.n, took.Seconds(), cloud.proof(ctx, d.began))
}
