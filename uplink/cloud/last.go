package cloud

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/fieldgate/fieldgate/store/block"
	"github.com/fieldgate/fieldgate/uplink/cloud/ledger"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// newest gives the last live readings of a gateway that the newest records of
// the log hold, the oldest first. A channel that has been silent for longer is
// not among them.
func (s *Server) newest(ctx context.Context, id string) ([]liveReading, error) {
	b, err := ledger.Open(ctx, s.opt.Log, s.opt.KV, id)
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
		for reading := range liveReadings(held, d) {
			w.keep(id, reading)
		}
	}
	return w.values(), nil
}

// serveLast answers GET /v1/gateways/{id}/last.
func (s *Server) serveLast(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	if !s.admitReader(w, r, id) {
		return
	}
	list, err := s.hub.last(r.Context(), id)
	if err != nil {
		s.opt.Logger.Error("cannot read last values", "gateway", id, "error", err)
		deny(w, http.StatusServiceUnavailable, "storage", "the log cannot be read at the moment")
		return
	}
	values := make([]json.RawMessage, 0, len(list))
	for i := range list {
		values = append(values, list[i].text(id))
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"gateway_id": id, "values": values})
}
