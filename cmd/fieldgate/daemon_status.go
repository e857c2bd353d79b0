package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/fieldgate/fieldgate/cmd/cli"
	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/files"
	"github.com/fieldgate/fieldgate/gateway/local"
	"github.com/fieldgate/fieldgate/gateway/sample"
	"github.com/fieldgate/fieldgate/uplink"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// status gathers what the gateway says of itself.
func (d *daemon) status() local.Status {
	up, st := d.uplink.Status(), d.store.Stats()
	s := local.Status{
		Version: cli.Version(),
		Uptime:  time.Since(d.began).Seconds(),
		Uplink: local.Uplink{
			State: local.UplinkState(up.State), Endpoint: up.Endpoint, Stage: up.Stage, Since: up.Since, NextTry: up.NextTry,
			LastError: up.LastError, RTT: up.RTTMS, PausedBy: up.PausedBy, PerhapsLost: up.PerhapsLost,
			LateP50: milliseconds(up.Late.P50), LateP99: milliseconds(up.Late.P99), Level: string(up.Level), Traffic: trafficStatus(up.Traffic),
		},
		Store: local.Store{
			Head: st.Head, Stored: st.Stored + st.Journal, Unacked: st.Unacked, OldestUnacked: st.OldestUnackedAge.Seconds(),
			Bytes: st.Bytes, FlushInterval: d.cfg.Store.FlushInterval.Seconds(), LossWindow: st.LossWindow.Seconds(),
			Commits: st.Commits, Gaps: st.Gaps, Journal: st.Journal, HeadBytes: st.HeadBytes, JournalBytes: st.JournalBytes,
			TimeToFull: st.TimeToFull.Seconds(), GapReadings: map[string]uint64{}, Thinned: st.Thinned,
			Openings: st.Openings, UncleanStops: st.UncleanStops,
		},
		Health: d.health.List(),
		Config: d.configStatus(),
	}
	s.Certificates = d.ends.of()
	if d.lost != nil {
		s.LogLost = d.lost()
	}
	s.Store.Volatile = map[files.Keeping]string{files.Volatile: "yes", files.Unknown: "unknown"}[st.Keeping]
	for _, e := range up.Endpoints {
		s.Uplink.Endpoints = append(s.Uplink.Endpoints, local.Endpoint(e))
	}
	for why, n := range st.GapReadings {
		if n > 0 {
			s.Store.GapReadings[string(why)] = n
		}
	}
	s.Store.WrittenDaily = writtenBytes() / max(s.Uptime, 1) * 86_400
	if limit := float64(d.cfg.Store.Endurance); limit > 0 && s.Uptime >= 600 && s.Store.WrittenDaily > 0 {
		s.Store.CardYears = limit / s.Store.WrittenDaily / 365
	}
	for _, dev := range d.sampler.States() {
		s.Devices = append(s.Devices, d.deviceStatus(dev))
	}
	return s
}

// writtenBytes is what this process has had the kernel write to block devices
// (write_bytes of /proc/self/io, proc(5)); 0 where the kernel does not count.
func writtenBytes() float64 {
	text, err := os.ReadFile("/proc/self/io")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "write_bytes:"); ok {
			n, _ := strconv.ParseFloat(strings.TrimSpace(rest), 64) // 0 if it is no number
			return n
		}
	}
	return 0
}

func trafficStatus(t uplink.Traffic) *local.Traffic {
	return &local.Traffic{
		Today: t.Today.Kinds(), Yesterday: t.Yesterday.Kinds(), Since: t.Since.Kinds(),
		Month: t.Used, Budget: t.Budget, HeldBack: t.HeldBack, Idle: t.Idle,
	}
}

func (d *daemon) deviceStatus(dev sample.DeviceState) local.Device {
	out := local.Device{
		ID: dev.ID, Driver: dev.Driver, Bus: dev.Bus, State: local.DeviceState(dev.State), Error: dev.Error,
		Since: dev.Since, Interval: dev.Interval.Seconds(), Channels: []local.Channel{},
	}
	for _, ch := range dev.Channels {
		out.Channels = append(out.Channels, local.Channel{Quantity: ch.Quantity, Unit: ch.Unit, MaxSilence: d.silence(ch)})
	}
	return out
}

// silence is for how many seconds a channel's deadband may leave readings out.
func (d *daemon) silence(ch *gateway.Channel) float64 {
	for _, t := range treatments(d.cfg) {
		if t.Device == ch.Device && t.Quantity == ch.Quantity && t.Deadband > 0 {
			return t.MaxSilence.Seconds()
		}
	}
	return 0
}

// summary is the status in one line, for `systemctl status`.
func (d *daemon) summary() string {
	answering := 0
	devices := d.sampler.States()
	for _, dev := range devices {
		if dev.State == sample.OK {
			answering++
		}
	}
	line := fmt.Sprintf("%d of %d devices answer, uplink %s", answering, len(devices), d.uplink.Status().State)
	if d.cfg.Uplink.URL != "" {
		line += fmt.Sprintf(", %d readings wait for the cloud", d.store.Stats().Unacked)
	}
	if n := len(d.health.List()); n > 0 {
		line += fmt.Sprintf(", %d conditions", n)
	}
	return line
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// report says to the cloud how the gateway is.
func (d *daemon) report() *wire.Status {
	m := &wire.Status{Health: []wire.Condition{}, Devices: []wire.StatusDevice{}, Figures: map[string]float64{}}
	for _, c := range d.health.List() {
		m.Health = append(m.Health, wire.Condition{
			Code: c.Code, Subject: c.Subject, Severity: string(c.Severity), Sentence: c.Sentence, Since: wire.Time(c.Since.UnixMicro()),
		})
	}
	for _, dev := range d.sampler.States() {
		out := wire.StatusDevice{ID: dev.ID, Online: dev.State == sample.OK, Channels: []wire.StatusChannel{}}
		for _, ch := range dev.Channels {
			out.Channels = append(out.Channels, wire.StatusChannel{Quantity: ch.Quantity, Unit: ch.Unit})
		}
		m.Devices = append(m.Devices, out)
	}
	st := d.store.Stats()
	m.Figures["store_bytes"], m.Figures["unacknowledged"] = float64(st.Bytes), float64(st.Unacked)
	if st.Keeping != files.Durable {
		m.Figures["store_volatile"] = 1
	}
	m.Figures["oldest_unacknowledged_s"] = st.OldestUnackedAge.Seconds()
	return m
}

// waiting gives about how many bytes wait for the cloud, by the share of them
// in what is stored, and when the oldest was measured.
func (d *daemon) waiting() (bytes uint64, oldest time.Time) {
	st := d.store.Stats()
	if st.Unacked == 0 {
		return 0, time.Time{}
	}
	if all := st.Stored + st.Journal + st.Head; all > 0 {
		share := min(1, float64(st.Unacked)/float64(all))
		bytes = uint64(share * float64(st.Bytes+st.JournalBytes))
	}
	if st.OldestUnackedAge > 0 {
		anchor := d.clock.Anchor()
		oldest = anchor.Wall(d.clock.Stamp()).Add(-st.OldestUnackedAge)
	}
	return bytes, oldest
}
