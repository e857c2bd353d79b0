package local

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
)

const (
	historySpan   = 24 * time.Hour // that is shown if none is asked for
	historyPoints = 500            // per channel, if none are asked for …
	maxPoints     = 10_000         // … and at most
	maxSeries     = 32             // channels in one query
)

// A Historian answers questions about the past; the store is one.
type Historian interface {
	History(context.Context, gateway.HistoryQuery) (gateway.History, error)
}

// historyAnswer is the JSON of /api/v1/history. Series are columns, as charts
// want them; times are milliseconds since 1970.
type historyAnswer struct {
	From   time.Time    `json:"from"`
	To     time.Time    `json:"to"`
	Series []seriesJSON `json:"series"`
	Holes  []holeJSON   `json:"holes"`
}

type seriesJSON struct {
	Device   string   `json:"device_id"`
	Quantity string   `json:"quantity"`
	Unit     string   `json:"unit"`
	Time     []int64  `json:"time"` // where each bucket begins
	N        []uint64 `json:"n"`
	Min      []number `json:"min"`
	Max      []number `json:"max"`
	Mean     []number `json:"mean"`
	Quality  []string `json:"quality"` // the worst in the bucket
	Thinned  []bool   `json:"thinned,omitempty"`
}

type holeJSON struct {
	From   time.Time   `json:"from"`
	To     time.Time   `json:"to"`
	Why    gateway.Why `json:"why"`
	AtMost uint64      `json:"at_most"`
}

// number is a float64 that is null in JSON where it is none.
type number float64

// MarshalJSON gives a number, or null.
func (n number) MarshalJSON() ([]byte, error) {
	if f := float64(n); math.IsNaN(f) || math.IsInf(f, 0) {
		return []byte("null"), nil
	}
	return strconv.AppendFloat(nil, float64(n), 'g', -1, 64), nil
}

// serveHistory answers ?channel=boiler/temperature (once for each channel),
// from, to (RFC 3339, or a negative duration from now) and points.
func (s *Server) serveHistory(w http.ResponseWriter, r *http.Request) {
	if s.o.History == nil {
		serveNotFound(w, r)
		return
	}
	q, err := s.historyQuery(r.URL.Query())
	if err != nil {
		refuse(w, http.StatusBadRequest, newFault("bad_query", err.Error()))
		return
	}
	h, err := s.o.History.History(r.Context(), q)
	if err != nil {
		s.o.Log.Warn("the history could not be read", "error", err)
		refuse(w, http.StatusServiceUnavailable, newFault("history_unavailable", "The history cannot be read at present; the journal says why."))
		return
	}
	if c, unknown := s.unknownChannel(q, h); unknown {
		refuse(w, http.StatusNotFound, newFault("unknown_channel",
			"This gateway has no channel "+c.Device+"/"+c.Quantity+", and never had a reading of it in this time. See /api/v1/channels."))
		return
	}
	writeJSON(w, http.StatusOK, historyOf(q, h))
}

// unknownChannel gives the first channel that was asked for, is not there now,
// and has no readings in the answer either.
func (s *Server) unknownChannel(q gateway.HistoryQuery, h gateway.History) (gateway.Channel, bool) {
	known := map[[2]string]bool{}
	for _, series := range h.Series {
		known[[2]string{series.Device, series.Quantity}] = len(series.Buckets) > 0
	}
	devices := s.status().Devices
	for _, c := range s.channels(devices) {
		known[[2]string{c.Device, c.Quantity}] = true
	}
	for _, c := range q.Channels {
		silent := slices.ContainsFunc(devices, func(d Device) bool { return d.ID == c.Device && len(d.Channels) == 0 })
		if !known[[2]string{c.Device, c.Quantity}] && !silent { // a device says after its first visit what it has
			return c, true
		}
	}
	return gateway.Channel{}, false
}

func (s *Server) historyQuery(v url.Values) (q gateway.HistoryQuery, err error) {
	now := s.o.Clock.Anchor().Wall(s.o.Clock.Stamp())
	for _, name := range v["channel"] {
		device, quantity, _ := strings.Cut(name, "/")
		if !gateway.ValidID(device) || !gateway.ValidID(quantity) {
			return q, errors.New(`channel must be written as device/quantity, for example channel=boiler/temperature`)
		}
		c := gateway.Channel{Device: device, Quantity: quantity}
		if slices.Contains(q.Channels, c) {
			return q, fmt.Errorf("channel %s is there twice", name)
		}
		q.Channels = append(q.Channels, c)
	}
	if n := len(q.Channels); n < 1 || n > maxSeries {
		return q, errors.New("name 1 to 32 channels, for example channel=boiler/temperature")
	}
	var err1, err2, err3 error
	q.To, err1 = moment(v.Get("to"), now, now)
	q.From, err2 = moment(v.Get("from"), now, q.To.Add(-historySpan))
	q.Buckets = historyPoints
	if p := v.Get("points"); p != "" {
		q.Buckets, err3 = strconv.Atoi(p)
	}
	switch {
	case err1 != nil || err2 != nil:
		return q, errors.New("from and to must be times like 2026-11-23T06:00:00Z or 2026-11-23T07:00:00+01:00, or durations before now like -6h")
	case err3 != nil || q.Buckets < 1 || q.Buckets > maxPoints:
		return q, errors.New("points must be a number from 1 to 10000")
	case !q.From.Before(q.To):
		return q, errors.New("from must be before to")
	}
	return q, nil
}

// moment reads a time.
func moment(text string, now, without time.Time) (time.Time, error) {
	if text == "" {
		return without, nil
	}
	return gateway.ParseMoment(text, now)
}

func historyOf(q gateway.HistoryQuery, h gateway.History) historyAnswer {
	a := historyAnswer{From: q.From, To: q.To, Series: []seriesJSON{}, Holes: []holeJSON{}}
	for _, s := range h.Series {
		a.Series = append(a.Series, columnsOf(s))
	}
	for _, hole := range h.Holes {
		a.Holes = append(a.Holes, holeJSON(hole))
	}
	return a
}

func columnsOf(s gateway.Series) seriesJSON {
	n := len(s.Buckets)
	c := seriesJSON{
		Device: s.Device, Quantity: s.Quantity, Unit: s.Unit, Time: make([]int64, n), N: make([]uint64, n),
		Min: make([]number, n), Max: make([]number, n), Mean: make([]number, n), Quality: make([]string, n),
	}
	thinned := make([]bool, n)
	for i, b := range s.Buckets {
		c.Time[i], c.N[i], c.Quality[i] = b.From.UnixMilli(), b.N, b.Worst.String()
		c.Min[i], c.Max[i], c.Mean[i] = number(b.Min), number(b.Max), number(b.Mean)
		if thinned[i] = b.Thinned; b.Thinned {
			c.Thinned = thinned
		}
	}
	return c
}
