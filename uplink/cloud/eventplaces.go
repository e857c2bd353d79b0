package cloud

import (
	"context"
	"fmt"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// maxPlaces is how many places of events a page holds; older ones lie in
// documents of so many each.
const maxPlaces = 64

// An eventPlace is where in the log an event lies, and when it happened.
type eventPlace struct {
	Seq   uint64    `json:"s"`
	At    time.Time `json:"t"`
	Known bool      `json:"k"` // the clock had been set
}

func (b *book) placesKey(n int) string { return fmt.Sprintf("events.%s.%d", b.gatewayID, n) }

// place notes where an event lies.
func (b *book) place(ctx context.Context, r record.Record, e *wire.Event) error {
	c, err := b.clock(ctx, e.Anchor.Boot)
	if err != nil {
		return err
	}
	t, q := c.wall(e.At)
	b.page.Events = append(b.page.Events, eventPlace{r.Seq, t, q > gateway.ClockRTC})
	return nil
}

// eventPlaces gives those of all events that the log can still have.
func (b *book) eventPlaces(ctx context.Context) ([]eventPlace, error) {
	var all []eventPlace
	for n := range b.page.EventDocs {
		var some []eventPlace
		if _, err := b.get(ctx, b.placesKey(n), &some); err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	return append(all, b.page.Events...), nil
}
