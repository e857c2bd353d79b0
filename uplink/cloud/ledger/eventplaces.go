package ledger

import (
	"context"
	"fmt"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// maxEventPlaces is how many places of events a checkpoint holds; older ones lie in
// documents of so many each.
const maxEventPlaces = 64

// An eventPlace is where in the log an event lies, and when it happened.
type eventPlace struct {
	Seq   uint64    `json:"s"`
	At    time.Time `json:"t"`
	Known bool      `json:"k"` // the clock had been set
}

func (b *Gateway) placesKey(n int) string { return fmt.Sprintf("events.%s.%d", b.ID, n) }

// place notes where an event lies.
func (b *Gateway) place(ctx context.Context, r record.Record, e *wire.Event) error {
	c, err := b.Clock(ctx, e.Anchor.Boot)
	if err != nil {
		return err
	}
	t, q := c.Wall(e.At)
	b.checkpoint.Events = append(b.checkpoint.Events, eventPlace{r.Seq, t, q > gateway.ClockRTC})
	return nil
}

// eventPlaces gives those of all events that the log can still have.
func (b *Gateway) eventPlaces(ctx context.Context) ([]eventPlace, error) {
	var all []eventPlace
	for n := range b.checkpoint.EventDocs {
		var some []eventPlace
		if _, err := b.read(ctx, b.placesKey(n), &some); err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	return append(all, b.checkpoint.Events...), nil
}
