package local

import (
	"time"

	"github.com/fieldgate/fieldgate/gateway/health"
)

// A Status is what the gateway says about itself: the status message of /ws
// and the answer of /api/v1/status. The server fills Type, GatewayID, Time
// and Clock; the daemon the rest. Times that are not known are left out.
type Status struct {
	Type      string             `json:"type"` // "status"
	GatewayID string             `json:"gateway_id"`
	Version   string             `json:"version"`
	Time      time.Time          `json:"time"`     // the gateway's wall time when it said this
	Uptime    float64            `json:"uptime_s"` // of the daemon
	Uplink    Uplink             `json:"uplink"`
	Store     Store              `json:"store"`
	Clock     ClockStatus        `json:"clock"`
	Config    *Config            `json:"config,omitempty"` // nil: the cloud gives this gateway none
	Devices   []Device           `json:"devices"`
	Health    []health.Condition `json:"health"` // what is wrong now, the worst first
	// when each ends, by the file that it is from; "cloud" is the cloud's own
	Certificates map[string]time.Time `json:"certificates,omitempty"`
	LogLost      uint64               `json:"log_lines_lost,omitempty"` // since the daemon started, because nobody read them
}

// A Config says which configuration of the cloud is in force, and which one is
// not although the cloud wanted it.
type Config struct {
	Version uint64         `json:"version"`            // 0: the board's own files alone
	OnTrial bool           `json:"on_trial,omitempty"` // not confirmed yet
	Refused *RefusedConfig `json:"refused,omitempty"`  // the newest, until a later one is in force
}

// A RefusedConfig is a configuration that was not taken, and why.
type RefusedConfig struct {
	Version uint64   `json:"version"`
	State   string   `json:"state"`  // rejected, rolled_back
	Errors  []string `json:"errors"` // the first of them
}

// An UplinkState says what the line to the cloud is doing.
type UplinkState string

// The states of the uplink.
const (
	UplinkOnline       UplinkState = "online"
	UplinkPaused       UplinkState = "paused"   // connected, but the cloud takes nothing for now
	UplinkDraining     UplinkState = "draining" // connected, but the cloud asked to come back later
	UplinkConnecting   UplinkState = "connecting"
	UplinkWaiting      UplinkState = "waiting"       // between two attempts; see NextTry
	UplinkNoCredential UplinkState = "no_credential" // nobody enrolled this gateway yet
	UplinkRefused      UplinkState = "refused"       // the cloud refuses the credential; tried again, slowly
	UplinkOff          UplinkState = "off"           // none is configured
)

// An Uplink is the state of the line to the cloud.
type Uplink struct {
	State     UplinkState `json:"state"`
	Endpoint  string      `json:"endpoint,omitempty"`
	Stage     string      `json:"stage,omitempty"` // of connecting: "dial", "TLS", "upgrade", "hello"
	Since     time.Time   `json:"since,omitzero"`
	NextTry   time.Time   `json:"next_try,omitzero"`
	LastError string      `json:"last_error,omitempty"`
	RTT       float64     `json:"rtt_ms,omitempty"`
	LateP50   float64     `json:"live_late_p50_ms,omitempty"` // from measuring to the cloud's ack, of live readings
	LateP99   float64     `json:"live_late_p99_ms,omitempty"`
	// PerhapsLost counts, since the start, readings that were sent to a server
	// that acknowledges nothing, and that it had not read for certain when
	// their line ended.
	PerhapsLost uint64 `json:"perhaps_lost,omitempty"`
	PausedBy    string `json:"paused_by,omitempty"` // why the cloud takes nothing: "storage", "rate"
	Level       string `json:"level,omitempty"`     // how durable the cloud says its acks are: "fsynced", "replicated", "received"

	Endpoints []Endpoint `json:"endpoints,omitempty"` // in the order of preference, if there are several
	Traffic   *Traffic   `json:"traffic,omitempty"`
}

// An Endpoint is one of several addresses of the cloud.
type Endpoint struct {
	URL       string    `json:"url"`
	Present   bool      `json:"present"` // connected to it, or tried next
	Failures  int       `json:"failures"`
	LastError string    `json:"last_error,omitempty"`
	Online    time.Time `json:"last_online,omitzero"`
	Until     time.Time `json:"not_before,omitzero"` // it asked to be left alone until then
}

// Traffic is what the line costs, in bytes by kind: control, live, backlog,
// events, commands, tls, tcp.
type Traffic struct {
	Today     map[string]int64 `json:"today"`
	Yesterday map[string]int64 `json:"yesterday"`
	Since     map[string]int64 `json:"since_start"`
	Month     int64            `json:"month_bytes"`
	Budget    int64            `json:"budget_bytes,omitempty"`
	HeldBack  string           `json:"held_back,omitempty"` // by the budget: "backlog", "backlog, live"
	Idle      int64            `json:"idle_bytes_per_day"`  // what heartbeats alone cost
}

// A Store is the state of the buffer. Counts are of readings. A tag metric is the
// name of the figure at /metrics, with ' for ".
type Store struct {
	Head          uint64  `json:"head" metric:"readings{where='head'}"`             // in RAM, not yet committed
	Stored        uint64  `json:"stored"`                                           // held on the card
	Unacked       uint64  `json:"unacked" metric:"unacked_readings"`                // not yet acknowledged by the cloud, head included
	OldestUnacked float64 `json:"oldest_unacked_s" metric:"oldest_unacked_seconds"` // age of the oldest of these; 0 if there is none
	Bytes         int64   `json:"bytes" metric:"bytes{where='volumes'}"`            // on the card
	FlushInterval float64 `json:"flush_interval_s"`
	LossWindow    float64 `json:"loss_window_s" metric:"loss_window_seconds"` // what a power cut costs at most: flush_interval + one commit
	Volatile      string  `json:"volatile,omitempty"`                         // "yes": a power cut costs all of the store; "unknown": it may
	Commits       uint64  `json:"commits" metric:"commits_total"`             // since the start
	Gaps          uint64  `json:"gaps"`                                       // gap records held

	Thinned      uint64 `json:"thinned" metric:"thinned_readings"`             // of Stored, reduced to summaries
	Journal      uint64 `json:"journal" metric:"readings{where='journal'}"`    // of Stored, in the journal
	HeadBytes    int64  `json:"head_bytes" metric:"bytes{where='head'}"`       // of RAM
	JournalBytes int64  `json:"journal_bytes" metric:"bytes{where='journal'}"` // of pages in use
	// If readings go on coming and none are acknowledged
	TimeToFull float64 `json:"time_to_full_s,omitempty" metric:"full_in_seconds"`
	// That the daemon writes to the card, as since it started
	WrittenDaily float64           `json:"written_bytes_per_day" metric:"written_bytes_per_day"`
	CardYears    float64           `json:"card_life_years,omitempty" metric:"card_life_years"`
	GapReadings  map[string]uint64 `json:"gap_readings"`                         // at most, by reason
	Openings     int               `json:"openings_24h" metric:"openings_24h"`   // starts of the daemon …
	UncleanStops int               `json:"brownouts_24h" metric:"brownouts_24h"` // … after a power cut or crash
}

// A ClockStatus says how far the gateway's wall time may be believed.
type ClockStatus struct {
	Quality string    `json:"quality"` // none, rtc, session, ntp
	Time    time.Time `json:"time"`
}

// A DeviceState says whether a device answers.
type DeviceState string

// The states of a device.
const (
	DeviceStarting DeviceState = "starting" // not visited yet
	DeviceOK       DeviceState = "ok"
	DeviceAbsent   DeviceState = "absent"  // does not answer at all
	DeviceFailing  DeviceState = "failing" // answers, but not as it should
)

// A Device is the state of one configured device.
type Device struct {
	ID       string      `json:"id"`
	Driver   string      `json:"driver"`
	Bus      string      `json:"bus,omitempty"`
	State    DeviceState `json:"state"`
	Error    string      `json:"error,omitempty"`
	Since    time.Time   `json:"since,omitzero"`
	Interval float64     `json:"interval_s,omitempty"` // how often it is read; 0 if it speaks up by itself
	Channels []Channel   `json:"channels"`
}

// A Channel is one quantity of a device.
type Channel struct {
	Quantity   string  `json:"quantity"`
	Unit       string  `json:"unit"`
	MaxSilence float64 `json:"max_silence_s,omitempty"` // how long a deadband may leave readings out; 0 without a deadband
}

// status asks the daemon and adds what the server itself knows.
func (s *Server) status() Status {
	st := s.o.Status()
	anchor := s.o.Clock.Anchor()
	now := anchor.Wall(s.o.Clock.Stamp()).Truncate(time.Millisecond)
	st.Type, st.GatewayID, st.Time = "status", s.o.GatewayID, now
	st.Clock = ClockStatus{Quality: anchor.Quality.String(), Time: now}
	if st.Devices == nil {
		st.Devices = []Device{}
	}
	if st.Health == nil {
		st.Health = []health.Condition{}
	}
	return st
}

// steady is the status without what moves all the time: two statuses that
// differ in it are worth a message at once.
func (st Status) steady() Status {
	st.Time, st.Clock.Time = time.Time{}, time.Time{}
	st.Uptime, st.Uplink.RTT, st.Uplink.Traffic = 0, 0, nil
	st.Uplink.LateP50, st.Uplink.LateP99 = 0, 0
	st.Store.Head, st.Store.Stored, st.Store.Bytes, st.Store.Commits = 0, 0, 0, 0
	st.Store.OldestUnacked, st.Store.Journal, st.Store.JournalBytes, st.Store.HeadBytes = 0, 0, 0, 0
	st.Store.TimeToFull, st.Store.WrittenDaily, st.Store.CardYears, st.Store.GapReadings = 0, 0, 0, nil
	return st
}
