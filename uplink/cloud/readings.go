package cloud

import (
	"bufio"
	"encoding/json"
	"fmt"
	"iter"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/store/block"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// timeLayout is RFC 3339 in UTC with milliseconds.
const timeLayout = "2006-01-02T15:04:05.000Z"

// readingsWithin is how long a client may take for one record's readings.
const readingsWithin = 30 * time.Second

// The lines of GET /v1/gateways/{id}/readings.
type readingLine struct {
	GatewayID string          `json:"gateway_id"`
	DeviceID  string          `json:"device_id"`
	Quantity  string          `json:"quantity"`
	Value     *float64        `json:"value"` // null: not a number
	Unit      string          `json:"unit"`
	Timestamp string          `json:"timestamp"`
	Quality   string          `json:"quality"`
	Time      string          `json:"time"` // how far the timestamp may be believed
	Epoch     gateway.EpochID `json:"epoch"`
	Seq       uint64          `json:"seq"`
}

type gapLine struct {
	Type      string          `json:"type"`
	GatewayID string          `json:"gateway_id"`
	Epoch     gateway.EpochID `json:"epoch"`
	First     uint64          `json:"first"`
	N         uint64          `json:"n"`
	Why       gateway.Why     `json:"why"`
	T0        string          `json:"t0"`
	T1        string          `json:"t1"`
	Time      string          `json:"time"`
}

// thinnedLine is what is left of the readings of one channel in one interval.
// Those of one record have first and n in common: the names they stand for.
// The log holds the readings before from themselves.
type thinnedLine struct {
	Type      string          `json:"type"`
	GatewayID string          `json:"gateway_id"`
	DeviceID  string          `json:"device_id"`
	Quantity  string          `json:"quantity"`
	Unit      string          `json:"unit"`
	Timestamp string          `json:"timestamp"` // where the interval begins
	IntervalS float64         `json:"interval_s"`
	Count     uint64          `json:"count"`
	Min       *float64        `json:"min"` // null: not a number
	Max       *float64        `json:"max"`
	Mean      *float64        `json:"mean"`
	Quality   string          `json:"quality"` // the worst
	Time      string          `json:"time"`
	Epoch     gateway.EpochID `json:"epoch"`
	First     uint64          `json:"first"`
	N         uint64          `json:"n"`
	From      uint64          `json:"from"`
}

type closedLine struct {
	Type      string          `json:"type"`
	GatewayID string          `json:"gateway_id"`
	Epoch     gateway.EpochID `json:"epoch"`
	Closed    uint64          `json:"closed"`
}

type openEndLine struct {
	Type      string          `json:"type"`
	GatewayID string          `json:"gateway_id"`
	Epoch     gateway.EpochID `json:"epoch"`
	Why       gateway.Why     `json:"why"`
	After     uint64          `json:"after"` // seq of the last reading that the log holds
	AtMost    uint64          `json:"at_most"`
	T0        string          `json:"t0,omitempty"`
	T1        string          `json:"t1,omitempty"`
	Time      string          `json:"time,omitempty"`
}

// serveReadings answers GET /v1/gateways/{id}/readings with one JSON object
// per line, in the order of the log. A stream that breaks off is not ended
// properly, so that it never looks complete.
func (s *Server) serveReadings(w http.ResponseWriter, r *http.Request) {
	p := printer{gatewayID: r.PathValue("id"), blocks: decoders.Get().(*block.Decoder)}
	defer decoders.Put(p.blocks)
	known, err := s.known(r, p.gatewayID)
	if err != nil {
		s.opt.Logger.Error("cannot read the log", "error", err)
		deny(w, http.StatusServiceUnavailable, "storage", "the log cannot be read at the moment")
		return
	}
	if !known {
		deny(w, http.StatusNotFound, "unknown_gateway", "no such gateway")
		return
	}
	if err := p.filter(r); err != nil {
		deny(w, http.StatusBadRequest, "bad_query", err.Error())
		return
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	out := bufio.NewWriterSize(w, 64<<10)
	p.to = json.NewEncoder(out)
	rc := http.NewResponseController(w)
	for rec, err := range valid(s.opt.Log.Read(r.Context(), p.gatewayID, 0)) {
		_ = rc.SetWriteDeadline(time.Now().Add(readingsWithin))
		if err == nil {
			err = p.print(rec)
		}
		if err != nil {
			s.opt.Logger.Warn("stream of readings broken off", "gateway", p.gatewayID, "error", err)
			panic(http.ErrAbortHandler)
		}
	}
	if out.Flush() != nil {
		panic(http.ErrAbortHandler)
	}
}

// valid leaves out the void records of a chain: those whose predecessor is not
// the valid one before them.
func valid(records iter.Seq2[Record, error]) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		last, begun := "", false
		for r, err := range records {
			if err == nil && begun && r.Prev != last {
				continue
			}
			last, begun = r.ID, true
			if !yield(r, err) {
				return
			}
		}
	}
}

// A printer writes records as lines.
type printer struct {
	gatewayID string
	epoch     *gateway.EpochID // only this one, if set
	from      uint64           // only readings with this seq and above
	to        *json.Encoder
	blocks    *block.Decoder
}

func (p *printer) filter(r *http.Request) error {
	q := r.URL.Query()
	if v := q.Get("epoch"); v != "" {
		p.epoch = new(gateway.EpochID)
		if err := p.epoch.UnmarshalText([]byte(v)); err != nil {
			return err
		}
	}
	if v := q.Get("from"); v != "" {
		from, err := strconv.ParseUint(v, 10, 64)
		if err != nil {
			return fmt.Errorf("from is not a seq: %w", err)
		}
		p.from = from
	}
	return nil
}

func (p *printer) print(r Record) error {
	if r.Kind == KindOpen || r.Kind == KindEvent || p.epoch != nil && *p.epoch != r.Epoch {
		return nil
	}
	m, err := wire.Decode(r.Body)
	u, ok := m.(*wire.Update)
	if err != nil || !ok {
		return fmt.Errorf("record %d does not hold an update: %w", r.Seq, err)
	}
	from := max(r.First, p.from)
	last := r.First + r.N - 1
	for _, b := range u.Blocks {
		if err := p.block(b, from); err != nil {
			return fmt.Errorf("record %d: %w", r.Seq, err)
		}
	}
	if u.Thinned != nil && last >= from {
		if err := p.thinned(u.Thinned, from); err != nil {
			return fmt.Errorf("record %d: %w", r.Seq, err)
		}
	}
	if u.Gap != nil && last >= from {
		if err := p.to.Encode(p.gap(u, from, last)); err != nil {
			return err
		}
	}
	if u.End == nil {
		return nil
	}
	return p.to.Encode(p.end(u, last))
}

func (p *printer) block(b []byte, from uint64) error {
	h, err := block.Parse(b)
	if err != nil || h.Last() < from {
		return err
	}
	h, rs, err := p.blocks.Decode(b)
	if err != nil {
		return err
	}
	line := readingLine{GatewayID: p.gatewayID, Epoch: h.Epoch, Time: h.Anchor.Quality.String()}
	for i := range rs {
		line.Seq = h.First + uint64(i)
		if line.Seq < from {
			continue
		}
		r := &rs[i]
		line.DeviceID, line.Quantity, line.Unit = r.Channel.Device, r.Channel.Quantity, r.Channel.Unit
		line.Value = number(r.Value)
		line.Timestamp = h.Anchor.Wall(r.At).Format(timeLayout)
		line.Quality = r.Quality.String()
		if err := p.to.Encode(&line); err != nil {
			return err
		}
	}
	return nil
}

func (p *printer) thinned(b []byte, from uint64) error {
	h, sums, err := p.blocks.Summaries(b)
	if err != nil {
		return err
	}
	for i := range sums {
		sum := &sums[i]
		err := p.to.Encode(thinnedLine{
			Type: "thinned", GatewayID: p.gatewayID, DeviceID: sum.Channel.Device, Quantity: sum.Channel.Quantity, Unit: sum.Channel.Unit,
			Timestamp: h.Anchor.Wall(sum.From).Format(timeLayout), IntervalS: sum.Interval.Seconds(), Count: sum.N,
			Min: number(sum.Min), Max: number(sum.Max), Mean: number(sum.Mean), Quality: sum.Worst.String(), Time: h.Anchor.Quality.String(),
			Epoch: h.Epoch, First: h.First, N: h.N, From: from,
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// number gives nil for what JSON has no number for.
func number(v float64) *float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	return &v
}

func (p *printer) gap(u *wire.Update, first, last uint64) gapLine {
	return gapLine{
		Type: "gap", GatewayID: p.gatewayID, Epoch: u.Epoch, First: first, N: last - first + 1,
		Why: u.Gap.Why, T0: wall(&u.Gap.Anchor, u.Gap.T0), T1: wall(&u.Gap.Anchor, u.Gap.T1), Time: u.Gap.Anchor.Quality.String(),
	}
}

func (p *printer) end(u *wire.Update, last uint64) any {
	if u.End.Closed != nil {
		return closedLine{"end", p.gatewayID, u.Epoch, *u.End.Closed}
	}
	line := openEndLine{Type: "end", GatewayID: p.gatewayID, Epoch: u.Epoch, Why: u.End.Why, After: last, AtMost: u.End.AtMost}
	if a := u.End.Anchor; a != nil {
		line.T0, line.T1, line.Time = wall(a, u.End.T0), wall(a, u.End.T1), a.Quality.String()
	}
	return line
}

// wall gives the wall time of a stamp, µs, of the anchor's boot.
func wall(a *wire.Anchor, at int64) string {
	return time.UnixMicro(at + a.Offset).UTC().Format(timeLayout)
}
