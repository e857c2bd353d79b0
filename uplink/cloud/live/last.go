package live

import (
	"context"
	"encoding/json"
	"sync"

	"github.com/fieldgate/fieldgate/store/block"
	"github.com/fieldgate/fieldgate/uplink/cloud/ledger"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// newest gives the last live readings of a gateway that the newest records of
// the log hold, the oldest first. A channel that has been silent for longer is
// not among them.
func (h *Hub) newest(ctx context.Context, id string) ([]reading, error) {
	b, err := ledger.Open(ctx, h.log, h.kv, id)
	if err != nil {
		return nil, err
	}
	records, err := b.Newest(ctx)
	if err != nil {
		return nil, err
	}
	d := decoders.Get().(*block.Decoder)
	defer decoders.Put(d)
	w := &warmGateway{series: map[seriesKey]*series{}}
	for r, err := range records {
		if err != nil {
			return nil, err
		}
		if r.Kind != record.KindUpdate || r.Lane != wire.LaneLive || r.N == 0 {
			continue
		}
		held, err := r.Content()
		if err != nil || held.Update == nil {
			continue // the ledger says that it is damaged
		}
		for reading := range readingsOf(held, d) {
			w.keep(id, reading)
		}
	}
	return w.values(), nil
}

// Last gives the last value of every series of a gateway, in JSON as the stream
// shows it.
func (h *Hub) Last(ctx context.Context, id string) ([]json.RawMessage, error) {
	list, err := h.values(ctx, id)
	texts := make([]json.RawMessage, 0, len(list))
	for i := range list {
		texts = append(texts, list[i].text(id))
	}
	return texts, err
}

// decoders are shared, because one keeps large buffers.
var decoders = sync.Pool{New: func() any { return block.NewDecoder() }}
