package cloud

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"slices"

	"github.com/fieldgate/fieldgate/store/block"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

const (
	lastRecords = 256 // of the newest records of a gateway, at least as many are looked at for last values
	lastEpochs  = 8
)

// newest gives the last live readings of a gateway that the newest records of
// the log hold, the oldest first. A channel that has been silent for longer is
// not among them.
func (s *Server) newest(ctx context.Context, id string) ([]liveReading, error) {
	b, err := s.reading(ctx, id)
	if err != nil {
		return nil, err
	}
	from, err := b.recent(ctx)
	if err != nil {
		return nil, err
	}
	d := decoders.Get().(*block.Decoder)
	defer decoders.Put(d)
	w := &warmGateway{series: map[seriesKey]*series{}}
	for r, err := range b.records(ctx, []stretch{{from, b.page.Seq}}) {
		if err != nil {
			return nil, err
		}
		if r.Kind != record.KindUpdate || r.Lane != wire.LaneLive || r.N == 0 {
			continue
		}
		m, err := wire.Decode(r.Body)
		u, ok := m.(*wire.Update)
		if err != nil || !ok {
			continue // the ledger says that it is damaged
		}
		for _, bl := range u.Blocks {
			h, rs, err := d.Decode(bl)
			if err != nil {
				continue
			}
			for i := range rs {
				w.keep(id, readingOf(h, &rs[i], h.First+uint64(i)))
			}
		}
	}
	return w.values(), nil
}

// recent gives where in the log the newest records of a gateway begin: that of
// a valid one.
func (b *book) recent(ctx context.Context) (uint64, error) {
	var accounts []*account
	for _, a := range b.sorted() {
		if a.From > 0 && a.Line == b.page.Line {
			accounts = append(accounts, a)
		}
	}
	slices.SortFunc(accounts, func(x, y *account) int { return cmp.Compare(y.Seq, x.Seq) })
	from, n := b.page.Seq, uint64(0)
	for i, a := range accounts {
		if n >= lastRecords || i == lastEpochs {
			break
		}
		first, some, err := b.tail(ctx, a)
		if err != nil {
			return 0, err
		}
		from, n = min(from, first), n+some
	}
	return from, nil
}

// tail gives where the newest records of an epoch begin, and how many they are.
func (b *book) tail(ctx context.Context, a *account) (first, n uint64, err error) {
	if a.Records <= lastRecords {
		return a.From, a.Records, nil
	}
	full := a.full
	if len(full) == 0 {
		var ix index
		if _, err := b.get(ctx, b.indexKey(a.Epoch), &ix); err != nil {
			return 0, 0, err
		}
		if ix.Line == a.indexLine() {
			full = ix.Segments
		}
	}
	if len(full) == 0 {
		return a.From, a.Records, nil
	}
	s := full[len(full)-1]
	return s.First, s.N + a.Tail.N, nil
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
