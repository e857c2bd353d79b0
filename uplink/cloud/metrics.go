package cloud

import (
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/gorilla/websocket"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/cloud/command"
	"github.com/fieldgate/fieldgate/uplink/cloud/fleet"
	_ "github.com/fieldgate/fieldgate/uplink/cloud/quiet" // before metrics, which would log while it is initialised
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

const metricPrefix = "fieldgate_cloud_"

// serverMetrics are what GET /metrics shows (PROTOCOL 3.9). No label has a value
// that a gateway chooses, nor its id: what is about one gateway is told by the
// API. Other parts of the server add metrics of their own with count.
type serverMetrics struct {
	set         *metrics.Set
	updates     [2][lanes]*metrics.Counter // by encoding, CBOR first
	readings    *metrics.Counter
	duplicates  *metrics.Counter
	ack, pubAck *metrics.PrometheusHistogram // seconds
	backlog     *metrics.PrometheusHistogram // readings, at the opening of a session
	clock       *metrics.PrometheusHistogram // seconds, either way
	commands    *metrics.PrometheusHistogram // seconds, from the request to the result
}

func newServerMetrics() *serverMetrics {
	set := metrics.NewSet()
	f := &serverMetrics{set: set}
	for enc, encoding := range []string{"cbor", "json"} {
		for lane, name := range laneNames {
			f.updates[enc][lane] = set.NewCounter(fmt.Sprintf("%supdates_total{lane=%q,enc=%q}", metricPrefix, name, encoding))
		}
	}
	f.readings = set.NewCounter(metricPrefix + "readings_total")
	f.duplicates = set.NewCounter(metricPrefix + "duplicate_updates_total")
	seconds := []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}
	f.ack = set.NewPrometheusHistogramExt(metricPrefix+"ack_latency_seconds", seconds)
	f.pubAck = set.NewPrometheusHistogramExt(metricPrefix+"pub_ack_seconds", seconds)
	f.backlog = set.NewPrometheusHistogramExt(metricPrefix+"gateway_backlog_readings", []float64{0, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7})
	f.clock = set.NewPrometheusHistogramExt(metricPrefix+"clock_offset_seconds", []float64{.001, .01, .1, 1, 10, 60, 3600})
	f.commands = set.NewPrometheusHistogramExt(metricPrefix+"command_latency_seconds", []float64{.01, .025, .05, .1, .25, .5, 1,
		2.5, 5, 10, 60, 600, 3600})
	return f
}

// commandMoved counts a state that a command has come to. One that expires in
// the queue comes to it when its gateway connects.
func (f *serverMetrics) commandMoved(d command.Command) {
	state := string(d.State)
	if !slices.Contains(command.States, d.State) {
		state = "other" // a gateway may say anything
	}
	f.count("commands_total", "state", state)
	if d.State == gateway.CommandDone || d.State == gateway.CommandFailed {
		f.commands.Update(time.Since(d.Created).Seconds())
	}
}

// count adds one to name{label="value"}, or to name if label is "". Values
// must be few.
func (f *serverMetrics) count(name, label, value string) { f.add(name, label, value, 1) }

func (f *serverMetrics) add(name, label, value string, n uint64) {
	name = metricPrefix + name
	if label != "" {
		name = fmt.Sprintf("%s{%s=%q}", name, label, value)
	}
	f.set.GetOrCreateCounter(name).AddInt64(int64(min(n, math.MaxInt64)))
}

// gauge shows what f gives under a name.
func (f *serverMetrics) gauge(name string, value func() float64) {
	f.set.NewGauge(metricPrefix+name, value)
}

// countItem counts an update or event that was stored, or was there already.
func (f *serverMetrics) countItem(x *session, it item, stored uint64) {
	enc := 0
	if x.codec.Text {
		enc = 1
	}
	f.updates[enc][it.lane].Inc()
	f.readings.AddInt64(int64(min(stored, math.MaxInt64)))
}

// gap counts readings that will never come, by reasons that are known: others
// could be any text.
func (f *serverMetrics) gap(why gateway.Why, n uint64) {
	known := []gateway.Why{gateway.WhyUncleanStop, gateway.WhyForgottenAfterAck, gateway.WhyCardFailed, gateway.WhyDropped,
		gateway.WhyRejected, gateway.WhyUnknown}
	if !slices.Contains(known, why) {
		why = "other"
	}
	f.add("gap_readings_total", "reason", string(why), n)
}

// tried notes how an append to the log went.
func (f *serverMetrics) tried(took time.Duration, err error) {
	if err == nil {
		f.pubAck.Update(took.Seconds())
		return
	}
	code := "other"
	for is, name := range map[error]string{record.ErrFenced: "fenced", record.ErrFull: "full", record.ErrUnavailable: "unavailable"} {
		if errors.Is(err, is) {
			code = name
		}
	}
	f.count("pub_errors_total", "err_code", code)
}

// closed counts how a session ended: with which code, and whose that was.
func (f *serverMetrics) closed(cause error, ours *closing) {
	by, code := "cloud", "none"
	var theirs *websocket.CloseError
	switch {
	case ours != nil:
		code = strconv.Itoa(ours.code)
	case errors.Is(cause, websocket.ErrReadLimit): // the library has told the gateway
		code = strconv.Itoa(websocket.CloseMessageTooBig)
	case errors.As(cause, &theirs):
		by, code = "gateway", "other"
		if theirs.Code <= websocket.CloseTryAgainLater {
			code = strconv.Itoa(theirs.Code)
		}
	}
	f.set.GetOrCreateCounter(fmt.Sprintf("%sclose_total{code=%q,by=%q}", metricPrefix, code, by)).Inc()
}

// offset notes how far a gateway's clock is from ours, by its first ping: the
// way of the ping is part of it.
func (f *serverMetrics) offset(c wire.ClockState, ping int64, now time.Time) {
	if c.Quality == gateway.ClockNone {
		return
	}
	f.clock.Update(math.Abs(now.Sub(time.UnixMicro(ping + c.Offset)).Seconds()))
}

// useMetrics shows what the server itself counts.
func (s *Server) useMetrics() {
	number := func(f func() int) func() float64 {
		return func() float64 {
			s.mu.Lock()
			defer s.mu.Unlock()
			return float64(f())
		}
	}
	s.metrics.gauge(`connections{state="all"}`, number(func() int { return s.open }))
	s.metrics.gauge(`connections{state="ready"}`, number(func() int {
		n := 0
		for _, l := range s.gateways {
			if l.session != nil {
				n++
			}
		}
		return n
	}))
	s.metrics.gauge("window_paused_sessions", func() float64 { return float64(s.storage.paused()) })
	s.metrics.gauge("spread_seconds", func() float64 { return float64(s.spread()) })
}

// serveMetrics answers GET /metrics.
func (s *Server) serveMetrics(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	s.writeMetrics(w)
}

func (s *Server) writeMetrics(w io.Writer) {
	s.metrics.set.WritePrometheus(w)
	s.writeConsumerMetrics(w)
	for of, end := range s.keys.Load().Ends {
		metrics.WriteGaugeFloat64(w, fmt.Sprintf("%scertificate_end_seconds{of=%q}", metricPrefix, of), float64(end.Unix()))
	}
	if s.opt.Metrics != nil {
		s.opt.Metrics(w)
	}
	metrics.WriteProcessMetrics(w)
}

// useConsumerMetrics shows what the parts for those who read count.
func (s *Server) useConsumerMetrics() {
	s.metrics.gauge("live_clients", func() float64 {
		s.mu.Lock()
		defer s.mu.Unlock()
		return float64(s.listening)
	})
	s.metrics.gauge("live_lost_total", func() float64 { return float64(s.hub.Lost.Load()) })
	for _, code := range fleet.AlarmCodes {
		s.metrics.gauge(fmt.Sprintf("alarms{code=%q}", code), func() float64 { return float64(s.alarms.Count(code)) })
	}
	s.metrics.gauge("ledger_records_total", func() float64 { return float64(s.ledger.Entered.Load()) })
	s.metrics.gauge("ledger_behind_seconds", func() float64 { return float64(s.ledger.Behind.Load()) / 1000 })
}

// writeConsumerMetrics shows how far the consumers of the log are behind: they
// come and go.
func (s *Server) writeConsumerMetrics(w io.Writer) {
	for _, c := range s.alarms.Consumers() {
		fmt.Fprintf(w, "%sjs_consumer_lag{consumer=%q} %d\n", metricPrefix, c.Name, c.Behind)
		age, used := 0.0, 0
		if !c.Oldest.IsZero() {
			age = max(0, time.Since(c.Oldest).Seconds())
		}
		if c.Used {
			used = 1
		}
		fmt.Fprintf(w, "%sjs_consumer_lag_seconds{consumer=%q} %.3f\n", metricPrefix, c.Name, age)
		fmt.Fprintf(w, "%sjs_consumer_used{consumer=%q} %d\n", metricPrefix, c.Name, used)
	}
}
