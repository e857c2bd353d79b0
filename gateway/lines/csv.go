package lines

import (
	"encoding/csv"
	"io"
	"strings"
)

// csvColumns are those of every line, whatever its type. A reading has the
// type reading; what does not apply is empty.
var csvColumns = []string{
	"type", "gateway_id", "device_id", "quantity", "value", "unit", "timestamp", "quality", "time", "epoch", "seq",
	"n", "why", "t0", "t1", "interval_s", "count", "min", "max", "mean", "body",
}

// The columns that lines other than readings fill, by their numbers.
const (
	colType = iota
	colGateway
	colDevice
	colQuantity
	colValue
	colUnit
	colTimestamp
	colQuality
	colTime
	colEpoch
	colSeq
	colN
	colWhy
	colT0
	colT1
	colInterval
	colCount
	colMin
	colMax
	colMean
	colBody
)

// A csvWriter writes lines as RFC 4180 CSV with a header.
type csvWriter struct {
	to        *csv.Writer
	gatewayID string
	row       []string
	clock     clockText
	text      []byte
}

// NewCSV gives a writer of RFC 4180 CSV with a header, for the lines of one
// gateway.
func NewCSV(to io.Writer, gatewayID string) Writer {
	w := &csvWriter{to: csv.NewWriter(to), gatewayID: gatewayID, row: make([]string, len(csvColumns))}
	w.to.UseCRLF = true
	_ = w.to.Write(csvColumns) // an error stays until flush
	return w
}

func (w *csvWriter) Reading(l *Reading) error {
	w.text = w.clock.append(w.text[:0], l.Wall)
	clear(w.row)
	copy(w.row, []string{
		"reading", w.gatewayID, l.Channel.Device, l.Channel.Quantity, figure(number(l.Value)), plain(l.Channel.Unit), string(w.text),
		l.Quality.String(), l.Time.String(), l.Epoch.String(), whole(l.Seq),
	})
	return w.to.Write(w.row)
}

func (w *csvWriter) Other(l Line) error {
	clear(w.row)
	w.row[colGateway] = w.gatewayID
	for i, text := range l.columns() { // the columns that it does not name stay empty
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
