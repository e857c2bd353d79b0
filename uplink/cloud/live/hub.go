package live

import (
	"context"
	"encoding/binary"
	"iter"
	"log/slog"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/lines"
	"github.com/fieldgate/fieldgate/store/block"
	"github.com/fieldgate/fieldgate/uplink/cloud/ledger"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

const (
	subject   = "live.default."  // and the gateway
	warmFor   = 10 * time.Minute // a gateway that nobody asks for stays in memory so long
	warmSweep = time.Minute
	maxSeries = 1 << 14 // of one gateway; of more, those that came first are forgotten until they speak again
)

// A Hub gives live readings to those who listen, from whichever server
// stored them. It decodes only what somebody listens to, or has asked for
// lately.
type Hub struct {
	log    record.Log
	kv     record.KV
	pubsub record.PubSub
	logger *slog.Logger

	Lost atomic.Uint64 // readings that slow clients did not get

	mu             sync.Mutex // guards what follows
	clients        map[*client]struct{}
	warm           map[string]*warmGateway
	unsubscribeAll func() // ends the subscription; nil: there is none
	blocks         *block.Decoder
}

// A warmGateway is a gateway whose last values are at hand.
type warmGateway struct {
	series map[seriesKey]*series
	order  []*series // as they first came
	asked  time.Time
	loaded bool // what the log held before is in
}

type seriesKey struct{ device, quantity string }

// A series is one channel of one gateway, with its last value.
type series struct {
	gatewayID string
	last      reading
}

// A reading is a reading with all that the stream says of it.
type reading struct {
	channel *gateway.Channel
	value   float64
	at      gateway.Stamp
	anchor  gateway.Anchor
	quality gateway.Quality
	epoch   gateway.EpochID
	seq     uint64
}

// NewHub makes a hub. What was stored before it began it reads from log and kv.
func NewHub(log record.Log, kv record.KV, pubsub record.PubSub, logger *slog.Logger) *Hub {
	return &Hub{log: log, kv: kv, pubsub: pubsub, logger: logger, clients: map[*client]struct{}{}, warm: map[string]*warmGateway{},
		blocks: block.NewDecoder()}
}

// Stored tells all servers of a live update, once, as it lies in the log.
func (h *Hub) Stored(gatewayID string, r record.Record) {
	if r.Kind != record.KindUpdate || r.Lane != wire.LaneLive || r.N == 0 {
		return
	}
	b := binary.BigEndian.AppendUint64(make([]byte, 0, 8+len(r.Body)), r.First)
	if err := h.pubsub.Publish(subject+gatewayID, append(b, r.Body...)); err != nil {
		h.logger.Debug("a live update was not passed on", "gateway", gatewayID, "error", err)
	}
}

// listenLocked begins to hear of live updates, if that is not so yet.
func (h *Hub) listenLocked() error {
	if h.unsubscribeAll != nil {
		return nil
	}
	stop, err := h.pubsub.Subscribe(subject+"*", func(subject string, data []byte) []byte {
		if len(data) > 8 {
			h.hear(subject[strings.LastIndexByte(subject, '.')+1:], binary.BigEndian.Uint64(data), data[8:])
		}
		return nil
	})
	h.unsubscribeAll = stop
	return err
}

// hear takes a live update in: readings below first are in an earlier one.
func (h *Hub) hear(id string, first uint64, body []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	wanted := h.wantedLocked(id)
	w := h.warm[id]
	if w == nil && !wanted {
		return
	}
	r := record.Record{First: first, Body: body}
	held, err := r.Content()
	if err != nil || held.Update == nil {
		return
	}
	if w == nil {
		w = h.warmLocked(id)
	}
	for r := range readingsOf(held, h.blocks) {
		h.moveLocked(id, w, r)
	}
	for c := range h.clients {
		c.wakeLocked()
	}
}

// readingsOf gives the readings of an update. What cannot be read, though it
// was checked before it was stored, is left out: the ledger says so.
func readingsOf(held record.Content, blocks *block.Decoder) iter.Seq[reading] {
	return func(yield func(reading) bool) {
		for b, err := range held.Blocks() {
			if err == nil && !readingsIn(b, blocks, yield) {
				return
			}
		}
	}
}

// readingsIn gives the readings of one block, until yield wants no more.
func readingsIn(b record.Block, blocks *block.Decoder, yield func(reading) bool) bool {
	rs, err := b.Readings(blocks)
	if err != nil {
		return true
	}
	for i := range rs {
		r := &rs[i]
		if !yield(reading{r.Channel, r.Value, r.At, b.Anchor, r.Quality, b.Epoch, b.From + uint64(i)}) {
			return false
		}
	}
	return true
}

// wantedLocked tells whether a client listens to this gateway.
func (h *Hub) wantedLocked(id string) bool {
	for c := range h.clients {
		if c.filter.gateway(id) {
			return true
		}
	}
	return false
}

func (h *Hub) warmLocked(id string) *warmGateway {
	w := h.warm[id]
	if w == nil {
		w = &warmGateway{series: map[seriesKey]*series{}}
		h.warm[id] = w
	}
	w.asked = time.Now()
	return w
}

// moveLocked makes r the last value of its series and passes it on, unless the
// series has a newer one.
func (h *Hub) moveLocked(id string, w *warmGateway, r reading) {
	s, news := w.keep(id, r)
	if !news {
		return
	}
	var text []byte
	for c := range h.clients {
		if !c.filter.gateway(id) || !c.filter.series(r.channel) {
			continue
		}
		if text == nil {
			text = r.text(id)
		}
		c.pushLocked(h, s, text)
	}
}

// keep takes a reading in and tells whether it is the newest of its series.
func (w *warmGateway) keep(id string, r reading) (*series, bool) {
	key := seriesKey{r.channel.Device, r.channel.Quantity}
	s := w.series[key]
	if s == nil {
		if len(w.order) == maxSeries {
			w.forget(maxSeries / 2)
		}
		s = &series{gatewayID: id}
		w.series[key] = s
		w.order = append(w.order, s)
	} else if !r.newer(&s.last) {
		return s, false
	}
	s.last = r
	return s, true
}

// forget leaves out the n series that came first.
func (w *warmGateway) forget(n int) {
	for _, s := range w.order[:n] {
		delete(w.series, seriesKey{s.last.channel.Device, s.last.channel.Quantity})
	}
	w.order = slices.Clone(w.order[n:])
}

// newer compares what can be compared: seqs within an epoch, stamps within a
// boot, and wall times only where both were believed. Of the rest the one that
// comes later is newer.
func (r *reading) newer(than *reading) bool {
	switch {
	case r.epoch == than.epoch:
		return r.seq > than.seq
	case r.anchor.Boot == than.anchor.Boot:
		return r.at >= than.at
	case r.anchor.Quality > gateway.ClockNone && than.anchor.Quality > gateway.ClockNone:
		return !r.anchor.Wall(r.at).Before(than.anchor.Wall(than.at))
	}
	return true
}

// text gives the reading as the stream shows it.
func (r *reading) text(gatewayID string) []byte {
	b := lines.AppendText(append(make([]byte, 0, 256), `{"type":"update","gateway_id":`...), gatewayID)
	b = lines.AppendText(append(b, `,"device_id":`...), r.channel.Device)
	b = lines.AppendText(append(b, `,"quantity":`...), r.channel.Quantity)
	b = lines.AppendNumber(append(b, `,"value":`...), r.value)
	b = lines.AppendText(append(b, `,"unit":`...), r.channel.Unit)
	b = append(b, `,"timestamp":"`...)
	b = r.anchor.Wall(r.at).AppendFormat(b, ledger.TimeLayout)
	quality := r.quality
	if quality == gateway.Good && (math.IsNaN(r.value) || math.IsInf(r.value, 0)) {
		quality = gateway.Suspect // JSON has no such number, and nobody should take it for good
	}
	b = append(append(b, `","quality":"`...), quality.String()...)
	b = append(append(b, `","time":"`...), r.anchor.Quality.String()...)
	b = append(append(b, `","epoch":"`...), r.epoch.String()...)
	return append(appendUint(append(b, `","seq":`...), r.seq), '}')
}

// values gives the last value of every series of a gateway, from the log if it
// was not at hand.
func (h *Hub) values(ctx context.Context, id string) ([]reading, error) {
	h.mu.Lock()
	w := h.warmLocked(id)
	loaded := w.loaded
	err := h.listenLocked() // what comes while the log is read is not missed
	h.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if !loaded {
		old, err := h.newest(ctx, id)
		if err != nil {
			return nil, err
		}
		h.mu.Lock()
		for _, r := range old {
			w.fill(id, r)
		}
		w.loaded = true
		h.mu.Unlock()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return w.values(), nil
}

// fill takes in what the log had: what came live meanwhile is newer.
func (w *warmGateway) fill(id string, r reading) {
	s := w.series[seriesKey{r.channel.Device, r.channel.Quantity}]
	if s == nil || r.newer(&s.last) && (r.epoch == s.last.epoch || r.anchor.Boot == s.last.anchor.Boot) {
		w.keep(id, r)
	}
}

func (w *warmGateway) values() []reading {
	list := make([]reading, 0, len(w.order))
	for _, s := range w.order {
		list = append(list, s.last)
	}
	return list
}

// Run forgets gateways that nobody asks for, until ctx is done.
func (h *Hub) Run(ctx context.Context) {
	tick := time.NewTicker(warmSweep)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			h.sweep(time.Now().Add(warmFor))
			return
		case now := <-tick.C:
			h.sweep(now)
		}
	}
}

func (h *Hub) sweep(now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for id, w := range h.warm {
		if now.Sub(w.asked) >= warmFor && !h.wantedLocked(id) {
			delete(h.warm, id)
		}
	}
	if len(h.warm)+len(h.clients) == 0 && h.unsubscribeAll != nil {
		h.unsubscribeAll()
		h.unsubscribeAll = nil
	}
}
