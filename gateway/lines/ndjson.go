package lines

import (
	"encoding/json"
	"io"
	"math"
	"strconv"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
)

// bufferSize is how many bytes of lines are gathered before they are written.
const bufferSize = 64 << 10

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

// NewNDJSON gives a writer of one JSON object per line, for the lines of one
// gateway.
func NewNDJSON(to io.Writer, gatewayID string) Writer {
	return &ndjson{
		to: to, open: append(AppendText([]byte(`{"gateway_id":`), gatewayID), `,"device_id":`...),
		channels: map[*gateway.Channel]*channelText{},
	}
}

func (w *ndjson) Reading(l *Reading) error {
	if l.Epoch != w.epoch || w.epochHex == "" {
		w.epoch, w.epochHex = l.Epoch, l.Epoch.String()
	}
	c := w.channel(l.Channel)
	b := append(w.buf, c.before...)
	b = AppendNumber(b, l.Value)
	b = append(b, c.unit...)
	b = w.clock.append(b, l.Wall)
	b = append(b, `","quality":"`...)
	b = append(b, l.Quality.String()...)
	b = append(b, `","time":"`...)
	b = append(b, l.Time.String()...)
	b = append(b, `","epoch":"`...)
	b = append(b, w.epochHex...)
	b = append(b, `","seq":`...)
	b = strconv.AppendUint(b, l.Seq, 10)
	w.buf = append(b, "}\n"...)
	if len(w.buf) < bufferSize {
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

func (w *ndjson) Other(l Line) error {
	b, err := json.Marshal(l)
	if err != nil {
		return err
	}
	w.buf = append(append(w.buf, b...), '\n')
	if len(w.buf) < bufferSize {
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

// append appends a wall time, µs since 1970, as in TimeLayout.
func (c *clockText) append(b []byte, wall int64) []byte {
	day := wall / dayUS
	if wall < 0 {
		return time.UnixMicro(wall).UTC().AppendFormat(b, TimeLayout)
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
