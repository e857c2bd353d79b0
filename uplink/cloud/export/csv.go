package export

import (
	"encoding/csv"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// csvColumns are those of every line, whatever its type. A reading has the
// type reading; what does not apply is empty.
var csvColumns = []string{
	"type", "gateway_id", "device_id", "quantity", "value", "unit", "timestamp", "quality", "time", "epoch", "seq",
	"n", "why", "t0", "t1", "interval_s", "count", "min", "max", "mean", "body",
}

// A csvWriter writes lines as RFC 4180 CSV with a header.
type csvWriter struct {
	to        *csv.Writer
	gatewayID string
	row       []string
	clock     clockText
	text      []byte
}

func NewCSV(to io.Writer, gatewayID string) *csvWriter {
	w := &csvWriter{to: csv.NewWriter(to), gatewayID: gatewayID, row: make([]string, len(csvColumns))}
	w.to.UseCRLF = true
	_ = w.to.Write(csvColumns) // an error stays until flush
	return w
}

func (w *csvWriter) reading(l *readingLine) error {
	w.text = w.clock.append(w.text[:0], l.wall)
	clear(w.row)
	copy(w.row, []string{
		"reading", w.gatewayID, l.channel.Device, l.channel.Quantity, figure(number(l.value)), plain(l.channel.Unit), string(w.text),
		l.quality, l.time, l.epoch.String(), strconv.FormatUint(l.seq, 10),
	})
	return w.to.Write(w.row)
}

func (w *csvWriter) other(l any) error {
	u := func(n uint64) string { return strconv.FormatUint(n, 10) }
	switch l := l.(type) {
	case gapLine:
		return w.line(map[int]string{0: l.Type, 8: l.Time, 9: l.Epoch.String(), 10: u(l.First), 11: u(l.N), 12: string(l.Why),
			13: l.T0, 14: l.T1})
	case thinnedLine:
		return w.line(map[int]string{
			0: l.Type, 2: l.DeviceID, 3: l.Quantity, 5: plain(l.Unit), 6: l.Timestamp, 7: l.Quality, 8: l.Time, 9: l.Epoch.String(),
			10: u(l.From), 11: u(l.First + l.N - l.From), 15: strconv.FormatFloat(l.IntervalS, 'f', -1, 64), 16: u(l.Count),
			17: figure(l.Min), 18: figure(l.Max), 19: figure(l.Mean),
		})
	case closedLine:
		return w.line(map[int]string{0: l.Type, 9: l.Epoch.String(), 10: u(l.Closed), 12: "closed"})
	case openEndLine:
		return w.line(map[int]string{0: l.Type, 8: l.Time, 9: l.Epoch.String(), 10: u(l.After), 11: u(l.AtMost), 12: string(l.Why),
			13: l.T0, 14: l.T1})
	case eventLine:
		return w.line(map[int]string{
			0: l.Type, 2: l.DeviceID, 6: l.Timestamp, 8: l.Time, 9: l.Epoch.String(), 10: u(l.Seq), 11: u(l.N),
			12: string(l.Kind), 20: string(l.Body),
		})
	}
	return fmt.Errorf("no line of CSV for a %T", l)
}

// line writes one line; the columns that are not named stay empty.
func (w *csvWriter) line(columns map[int]string) error {
	clear(w.row)
	w.row[1] = w.gatewayID
	for i, text := range columns {
		w.row[i] = text
	}
	return w.to.Write(w.row)
}

func (w *csvWriter) Flush() error {
	w.to.Flush()
	return w.to.Error()
}

func figure(v *float64) string {
	if v == nil {
		return ""
	}
	return string(AppendNumber(nil, *v))
}

// plain keeps spreadsheets from taking a text of the gateway's for a formula.
func plain(text string) string {
	if strings.ContainsAny(text[:min(1, len(text))], "=+-@\t\r") {
		return "'" + text
	}
	return text
}

var _ = []Writer{(*ndjson)(nil), (*csvWriter)(nil)}
