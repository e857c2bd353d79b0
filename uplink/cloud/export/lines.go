package export

import (
	"encoding/json"
	"io"
	"math"
	"strconv"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/cloud/ledger"
)

// lineBuffer is how many bytes of lines are gathered before they are sent.
const lineBuffer = 64 << 10

// A readingLine is one reading of GET /v1/gateways/{id}/readings. It has no
// type; all other lines have.
type readingLine struct {
	channel *gateway.Channel
	value   float64
	wall    int64 // µs since 1970
	quality string
	time    string // how far wall may be believed
	epoch   gateway.EpochID
	seq     uint64
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

// eventLine is an event; its name is (epoch, seq), counted apart from readings.
type eventLine struct {
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

// A Writer writes lines in one format. flush sends what was gathered.
type Writer interface {
	reading(l *readingLine) error
	other(l any) error // one of the line types above
	Flush() error
}

// An ndjson writes one JSON object per line. Readings are written by hand:
// there may be tens of millions.
type ndjson struct {
	to       io.Writer
	buf      []byte
	open     []byte // `{"gateway_id":"…","device_id":`
	channels map[*gateway.Channel]*channelText
	epoch    gateway.EpochID
	epochHex string
	clock    clockText
}

// channelText is what the lines of one channel have in common.
type channelText struct{ before, unit []byte }

func NewNDJSON(to io.Writer, gatewayID string) *ndjson {
	return &ndjson{
		to: to, open: append(AppendText([]byte(`{"gateway_id":`), gatewayID), `,"device_id":`...),
		channels: map[*gateway.Channel]*channelText{},
	}
}

func (w *ndjson) reading(l *readingLine) error {
	if l.epoch != w.epoch || w.epochHex == "" {
		w.epoch, w.epochHex = l.epoch, l.epoch.String()
	}
	c := w.channel(l.channel)
	b := append(w.buf, c.before...)
	b = AppendNumber(b, l.value)
	b = append(b, c.unit...)
	b = w.clock.append(b, l.wall)
	b = append(b, `","quality":"`...)
	b = append(b, l.quality...)
	b = append(b, `","time":"`...)
	b = append(b, l.time...)
	b = append(b, `","epoch":"`...)
	b = append(b, w.epochHex...)
	b = append(b, `","seq":`...)
	b = strconv.AppendUint(b, l.seq, 10)
	w.buf = append(b, "}\n"...)
	if len(w.buf) < lineBuffer {
		return nil
	}
	return w.Flush()
}

func (w *ndjson) channel(ch *gateway.Channel) *channelText {
	c := w.channels[ch]
	if c == nil {
		if len(w.channels) > 4096 {
			clear(w.channels)
		}
		c = &channelText{}
		c.before = AppendText(append(c.before, w.open...), ch.Device)
		c.before = AppendText(append(c.before, `,"quantity":`...), ch.Quantity)
		c.before = append(c.before, `,"value":`...)
		c.unit = AppendText([]byte(`,"unit":`), ch.Unit)
		c.unit = append(c.unit, `,"timestamp":"`...)
		w.channels[ch] = c
	}
	return c
}

func (w *ndjson) other(l any) error {
	b, err := json.Marshal(l)
	if err != nil {
		return err
	}
	w.buf = append(append(w.buf, b...), '\n')
	if len(w.buf) < lineBuffer {
		return nil
	}
	return w.Flush()
}

func (w *ndjson) Flush() error {
	_, err := w.to.Write(w.buf)
	w.buf = w.buf[:0]
	return err
}

// AppendText appends a JSON string.
func AppendText(b []byte, s string) []byte {
	text, _ := json.Marshal(s) // a string always can be
	return append(b, text...)
}

// AppendNumber appends a JSON number as encoding/json writes it, null for what
// JSON has no number for.
func AppendNumber(b []byte, v float64) []byte {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return append(b, "null"...)
	}
	if a := math.Abs(v); a != 0 && (a < 1e-6 || a >= 1e21) {
		return strconv.AppendFloat(b, v, 'e', -1, 64)
	}
	return strconv.AppendFloat(b, v, 'f', -1, 64)
}

// A clockText writes wall times. The day is formatted once.
type clockText struct {
	day  int64
	text []byte
}

const dayUS = 24 * 3600 * 1e6

// append appends a wall time, µs since 1970, as in timeLayout.
func (c *clockText) append(b []byte, wall int64) []byte {
	day := wall / dayUS
	if wall < 0 {
		return time.UnixMicro(wall).UTC().AppendFormat(b, ledger.TimeLayout)
	}
	if c.text == nil || c.day != day {
		c.day, c.text = day, time.UnixMicro(wall).UTC().AppendFormat(c.text[:0], "2006-01-02T")
	}
	ms := wall % dayUS / 1000
	h, m, s := ms/3600000, ms/60000%60, ms/1000%60
	b = append(b, c.text...)
	b = append(b, byte('0'+h/10), byte('0'+h%10), ':', byte('0'+m/10), byte('0'+m%10), ':', byte('0'+s/10), byte('0'+s%10), '.')
	ms %= 1000
	return append(b, byte('0'+ms/100), byte('0'+ms/10%10), byte('0'+ms%10), 'Z')
}

// number gives nil for what JSON has no number for.
func number(v float64) *float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	return &v
}
