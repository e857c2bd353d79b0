package local

import (
	"bytes"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// serveMetrics gives the figures of the status in the text format of
// Prometheus. Seconds and bytes are the units; what ends in _total only grows.
func (s *Server) serveMetrics(w http.ResponseWriter, _ *http.Request) {
	var text bytes.Buffer
	writeMetrics(&text, s.status())
	s.writeOwn(&text)
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = text.WriteTo(w) // a client that has gone needs no answer
}

// writeOwn gives the figures of the local side itself.
func (s *Server) writeOwn(w *bytes.Buffer) {
	f := s.conns.metrics()
	writeCounter(w, "fieldgate_local_connections", uint64(f.held))
	writeCounter(w, "fieldgate_local_connections_closed_for_others_total", f.evicted)
	writeCounter(w, "fieldgate_local_connections_refused_total", f.refused)
	writeCounter(w, "fieldgate_local_wrong_tokens_total", s.access.wrongTotal())
}

func writeMetrics(w *bytes.Buffer, st Status) {
	gauge := func(name string, v float64) { writeGauge(w, name, v) }
	gauge(fmt.Sprintf("fieldgate_info{version=%q,gateway_id=%q}", st.Version, st.GatewayID), 1)
	gauge("fieldgate_uptime_seconds", st.Uptime)
	writeCounter(w, "fieldgate_log_lines_lost_total", st.LogLost)
	for _, state := range []UplinkState{
		UplinkOnline, UplinkPaused, UplinkDraining, UplinkConnecting, UplinkWaiting, UplinkNoCredential, UplinkRefused, UplinkOff,
	} {
		gauge(fmt.Sprintf("fieldgate_uplink_state{state=%q}", state), flag(st.Uplink.State == state))
	}
	gauge("fieldgate_uplink_rtt_seconds", st.Uplink.RTT/1000)
	gauge(`fieldgate_uplink_live_late_seconds{quantile="0.5"}`, st.Uplink.LateP50/1000)
	gauge(`fieldgate_uplink_live_late_seconds{quantile="0.99"}`, st.Uplink.LateP99/1000)
	writeTraffic(w, st.Uplink)
	writeStoreMetrics(w, st.Store)
	if c := st.Config; c != nil {
		gauge("fieldgate_config_version", float64(c.Version))
		gauge("fieldgate_config_on_trial", flag(c.OnTrial))
		gauge("fieldgate_config_refused", flag(c.Refused != nil))
	}
	for _, of := range slices.Sorted(maps.Keys(st.Certificates)) {
		gauge(fmt.Sprintf("fieldgate_certificate_end_seconds{of=%q}", of), float64(st.Certificates[of].Unix()))
	}
	for _, d := range st.Devices {
		gauge(fmt.Sprintf("fieldgate_device_ok{device=%q}", d.ID), flag(d.State == DeviceOK))
	}
	for _, c := range st.Health {
		gauge(fmt.Sprintf("fieldgate_condition{code=%q,subject=%q,severity=%q}", c.Code, c.Subject, c.Severity), 1)
	}
}

func writeTraffic(w *bytes.Buffer, up Uplink) {
	gauge := func(name string, v float64) { writeGauge(w, "fieldgate_uplink_"+name, v) }
	for _, e := range up.Endpoints {
		gauge(fmt.Sprintf("endpoint_failures{endpoint=%q}", e.URL), float64(e.Failures))
		gauge(fmt.Sprintf("endpoint_present{endpoint=%q}", e.URL), flag(e.Present))
	}
	t := up.Traffic
	if t == nil {
		return
	}
	for _, kind := range slices.Sorted(maps.Keys(t.Since)) {
		writeCounter(w, fmt.Sprintf("fieldgate_uplink_bytes_total{kind=%q}", kind), uint64(t.Since[kind]))
		gauge(fmt.Sprintf("bytes_today{kind=%q}", kind), float64(t.Today[kind]))
	}
	gauge("month_bytes", float64(t.Month))
	gauge("idle_bytes_per_day", float64(t.Idle))
	if t.Budget > 0 {
		gauge("budget_bytes", float64(t.Budget))
		gauge("held_back", flag(t.HeldBack != ""))
	}
}

// writeStoreMetrics gives the figures of Store that have a tag metric, and those
// that are made of several. The lines of one metric stand together.
func writeStoreMetrics(w *bytes.Buffer, b Store) {
	const prefix = "fieldgate_store_"
	var all bytes.Buffer
	gauge := func(name string, v float64) { writeGauge(&all, prefix+name, v) }
	writeTagged(&all, prefix, b)
	gauge(`readings{where="volumes"}`, float64(b.Stored-b.Journal))
	gauge("volatile", flag(b.Volatile == "yes"))
	gauge("volatile_unknown", flag(b.Volatile == "unknown"))
	for _, why := range []string{"unclean_stop", "card_failed", "dropped", "unknown"} {
		gauge(fmt.Sprintf("gap_readings{why=%q}", why), float64(b.GapReadings[why]))
	}
	for _, line := range slices.Sorted(strings.Lines(all.String())) {
		w.WriteString(line)
	}
}

// writeTagged gives each field of a struct that has a tag metric, which is its
// name, with ' for ". A field that JSON leaves out when it is 0 is left out
// here too.
func writeTagged(w *bytes.Buffer, prefix string, of any) {
	v := reflect.ValueOf(of)
	for i := range v.NumField() {
		field := v.Type().Field(i)
		name, is := field.Tag.Lookup("metric")
		if !is || v.Field(i).IsZero() && strings.HasSuffix(field.Tag.Get("json"), ",omitempty") {
			continue
		}
		value := v.Field(i).Convert(reflect.TypeFor[float64]()).Float()
		writeGauge(w, prefix+strings.ReplaceAll(name, "'", `"`), value)
	}
}

// writeGauge and writeCounter write one line each. The library that the cloud
// uses looks at the kernel's pressure figures when a program starts, whatever
// that is to do, and logs where there are none.
func writeGauge(w *bytes.Buffer, name string, v float64) {
	fmt.Fprintf(w, "%s %s\n", name, strconv.FormatFloat(v, 'f', -1, 64))
}

func writeCounter(w *bytes.Buffer, name string, n uint64) {
	fmt.Fprintf(w, "%s %d\n", name, n)
}

func flag(is bool) float64 {
	if is {
		return 1
	}
	return 0
}
