// Package lines writes readings, and what stands in their place, as lines of
// NDJSON or CSV. The export of a store and the API of the cloud write the same
// lines. api.md describes them.
package lines

import (
	"encoding/json"
	"strconv"

	"github.com/fieldgate/fieldgate/gateway"
)

// TimeLayout is RFC 3339 in UTC with milliseconds.
const TimeLayout = "2006-01-02T15:04:05.000Z"

// A Writer writes lines in one format.
type Writer interface {
	Reading(l *Reading) error // l may be used again after the return
	Other(l Line) error
	Flush() error // writes what was gathered
}

// A Line is one that is no reading. It says its type; in CSV it fills some
// columns by their numbers.
type Line interface{ columns() map[int]string }

// A Reading is the line of one reading. In NDJSON it alone has no type.
type Reading struct {
	Channel *gateway.Channel
	Value   float64 // what JSON has no number for becomes null
	Wall    int64   // µs since 1970
	Quality gateway.Quality
	Time    gateway.ClockQuality // how far Wall may be believed
	Epoch   gateway.EpochID
	Seq     uint64
}

// Of fills in a reading, and the anchor that decides its wall time.
func (l *Reading) Of(r *gateway.Reading, decides gateway.Anchor) {
	l.Channel, l.Value, l.Quality = r.Channel, r.Value, r.Quality
	l.Wall, l.Time = decides.Micros(r.At), decides.Quality
}

// A Gap is readings that will never come.
type Gap struct {
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

// NewGap gives the line of a gap, whose readings were taken between two stamps
// of the boot of t.
func NewGap(gatewayID string, r gateway.Range, g gateway.Gap, t gateway.Timeline) Gap {
	t0, q := t.Wall(g.T0)
	t1, _ := t.Wall(g.T1)
	return Gap{
		Type: "gap", GatewayID: gatewayID, Epoch: r.Epoch, First: r.First, N: r.N, Why: g.Why,
		T0: t0.Format(TimeLayout), T1: t1.Format(TimeLayout), Time: q.String(),
	}
}

func (l Gap) columns() map[int]string {
	return map[int]string{
		colType: l.Type, colTime: l.Time, colEpoch: l.Epoch.String(), colSeq: whole(l.First), colN: whole(l.N), colWhy: string(l.Why),
		colT0: l.T0, colT1: l.T1,
	}
}

// A Thinned is what is left of the readings of one channel in one interval.
// Those of one record have first and n in common: the names they stand for.
// The readings before from are there themselves.
type Thinned struct {
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

// NewThinned gives the line of a summary out of a block of the range r.
func NewThinned(gatewayID string, r gateway.Range, from uint64, sum *gateway.Summary, t gateway.Timeline) Thinned {
	at, q := t.Wall(sum.From)
	return Thinned{
		Type: "thinned", GatewayID: gatewayID, DeviceID: sum.Channel.Device, Quantity: sum.Channel.Quantity, Unit: sum.Channel.Unit,
		Timestamp: at.Format(TimeLayout), IntervalS: sum.Interval.Seconds(), Count: sum.N,
		Min: number(sum.Min), Max: number(sum.Max), Mean: number(sum.Mean), Quality: sum.Worst.String(), Time: q.String(),
		Epoch: r.Epoch, First: r.First, N: r.N, From: from,
	}
}

func (l Thinned) columns() map[int]string {
	return map[int]string{
		colType: l.Type, colDevice: l.DeviceID, colQuantity: l.Quantity, colUnit: plain(l.Unit), colTimestamp: l.Timestamp,
		colQuality: l.Quality, colTime: l.Time, colEpoch: l.Epoch.String(), colSeq: whole(l.From), colN: whole(l.First + l.N - l.From),
		colInterval: strconv.FormatFloat(l.IntervalS, 'f', -1, 64), colCount: whole(l.Count),
		colMin: figure(l.Min), colMax: figure(l.Max), colMean: figure(l.Mean),
	}
}

// A Closed is the end of an epoch that ended in order.
type Closed struct {
	Type      string          `json:"type"`
	GatewayID string          `json:"gateway_id"`
	Epoch     gateway.EpochID `json:"epoch"`
	Closed    uint64          `json:"closed"` // seq of its last reading
}

// NewClosed gives the line of such an end.
func NewClosed(gatewayID string, e gateway.EpochID, last uint64) Closed {
	return Closed{"end", gatewayID, e, last}
}

func (l Closed) columns() map[int]string {
	return map[int]string{colType: l.Type, colEpoch: l.Epoch.String(), colSeq: whole(l.Closed), colWhy: "closed"}
}

// An OpenEnd is the end of an epoch that ended in a power cut or crash.
type OpenEnd struct {
	Type      string          `json:"type"`
	GatewayID string          `json:"gateway_id"`
	Epoch     gateway.EpochID `json:"epoch"`
	Why       gateway.Why     `json:"why"`
	After     uint64          `json:"after"` // seq of the last reading that is accounted for
	AtMost    uint64          `json:"at_most"`
	T0        string          `json:"t0,omitempty"`
	T1        string          `json:"t1,omitempty"`
	Time      string          `json:"time,omitempty"`
}

// NewOpenEnd gives the line of such an end. An empty timeline says nothing of
// its time; T1 before T0 says that nobody knows how long the board went on.
func NewOpenEnd(gatewayID string, e gateway.EpochID, after uint64, end gateway.End, t gateway.Timeline) OpenEnd {
	l := OpenEnd{Type: "end", GatewayID: gatewayID, Epoch: e, Why: end.Why, After: after, AtMost: end.AtMost}
	if len(t) == 0 {
		return l
	}
	t0, q := t.Wall(end.T0)
	l.T0, l.Time = t0.Format(TimeLayout), q.String()
	if end.T1 >= end.T0 {
		t1, _ := t.Wall(end.T1)
		l.T1 = t1.Format(TimeLayout)
	}
	return l
}

func (l OpenEnd) columns() map[int]string {
	return map[int]string{
		colType: l.Type, colTime: l.Time, colEpoch: l.Epoch.String(), colSeq: whole(l.After), colN: whole(l.AtMost), colWhy: string(l.Why),
		colT0: l.T0, colT1: l.T1,
	}
}

// An Event is something that happened. Its name is (epoch, seq), counted apart
// from readings.
type Event struct {
	Type      string            `json:"type"`
	GatewayID string            `json:"gateway_id"`
	Kind      gateway.EventKind `json:"kind"`
	DeviceID  string            `json:"device_id,omitempty"`
	Timestamp string            `json:"timestamp"`
	Time      string            `json:"time"`
	N         uint64            `json:"n"` // how many like it this stands for
	Body      json.RawMessage   `json:"body,omitempty"`
	Epoch     gateway.EpochID   `json:"epoch"`
	Seq       uint64            `json:"seq"`
}

func (l Event) columns() map[int]string {
	return map[int]string{
		colType: l.Type, colDevice: l.DeviceID, colTimestamp: l.Timestamp, colTime: l.Time, colEpoch: l.Epoch.String(), colSeq: whole(l.Seq),
		colN: whole(l.N), colWhy: string(l.Kind), colBody: string(l.Body),
	}
}

// The types of an Elsewhere.
const (
	WithCloud  = "cloud"      // the cloud acknowledged these readings; it alone has them
	Unreadable = "unreadable" // these readings are held, in a file that cannot be read now
)

// An Elsewhere is readings that are not lost, and not in this export. Only the
// export of a store has such lines.
type Elsewhere struct {
	Type      string          `json:"type"`
	GatewayID string          `json:"gateway_id"`
	Epoch     gateway.EpochID `json:"epoch"`
	First     uint64          `json:"first"`
	N         uint64          `json:"n"`
}

// NewElsewhere gives the line of readings that are WithCloud or Unreadable.
func NewElsewhere(kind, gatewayID string, r gateway.Range) Elsewhere {
	return Elsewhere{kind, gatewayID, r.Epoch, r.First, r.N}
}

func (l Elsewhere) columns() map[int]string {
	return map[int]string{colType: l.Type, colEpoch: l.Epoch.String(), colSeq: whole(l.First), colN: whole(l.N)}
}

func whole(n uint64) string { return strconv.FormatUint(n, 10) }
