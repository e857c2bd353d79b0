package uplink

import (
	"encoding/json"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fieldgate/fieldgate/gateway/health"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// A Use is what a line carried, in bytes. The messages are counted as they are
// encoded, both directions together; TLS is everything else that the socket
// carried: TLS and WebSocket framing, handshakes, HTTP, the proxy's part. TCP
// is the headers of TCP and IP, by the kernel's own count of segments.
type Use struct {
	Control  int64 `json:"control"` // hello, welcome, heartbeat, acks, status
	Live     int64 `json:"live"`
	Backlog  int64 `json:"backlog"`
	Events   int64 `json:"events"`
	Commands int64 `json:"commands"` // results, and configuration too
	TLS      int64 `json:"tls"`
	TCP      int64 `json:"tcp"`
	Sent     int64 `json:"sent"` // by the socket, TCP's headers not counted
	Received int64 `json:"received"`
}

// Total is what the line costs.
func (u Use) Total() int64 { return u.Sent + u.Received + u.TCP }

// Kinds gives what adds up to Total, by name.
func (u Use) Kinds() map[string]int64 {
	return map[string]int64{
		"control": u.Control, "live": u.Live, "backlog": u.Backlog, "events": u.Events, "commands": u.Commands, "tls": u.TLS, "tcp": u.TCP,
	}
}

// A Day is the use of one day (UTC).
type Day struct {
	Date string `json:"date"` // 2026-11-25
	Use
}

// Traffic is what the line costs.
type Traffic struct {
	Today     Day    `json:"today"`
	Yesterday Day    `json:"yesterday"` // the last day before that had any
	Month     string `json:"month"`     // 2026-11
	Used      int64  `json:"month_bytes"`
	Budget    int64  `json:"budget_bytes,omitempty"`
	HeldBack  string `json:"held_back,omitempty"` // what the budget holds back: "backlog", or "backlog, live"
	Idle      int64  `json:"idle_bytes_per_day"`  // what the heartbeat alone costs
	Since     Use    `json:"since_start"`
}

// kept is the part of Traffic that outlives a restart.
type kept struct {
	Today     Day    `json:"today"`
	Yesterday Day    `json:"yesterday"`
	Month     string `json:"month"`
	Used      int64  `json:"used"`
}

// A meter counts what the line carries.
type meter struct {
	budget Budget
	keep   func([]byte)                       // nil: nobody wants to
	wall   func() (now time.Time, known bool) // known: it may be believed

	conditions Conditions // may be nil

	mu    sync.Mutex
	kept  kept
	since Use
	idle  int64
	spent bool // the condition that the budget is used up is raised
}

// newMeter goes on from what an earlier run kept, if that can be read.
func newMeter(o Options, wall func() (time.Time, bool)) *meter {
	m := &meter{budget: o.Budget, keep: o.Keep, wall: wall, conditions: o.Conditions, idle: idleDaily(defaultPing)}
	if json.Unmarshal(o.Kept, &m.kept) != nil {
		m.kept = kept{}
	}
	return m
}

// add counts, on the day that it is. A clock that may not be believed turns no
// page of the calendar: a board that boots in 2099 would forget the month.
func (m *meter) add(count func(*Use)) {
	now, known := m.wall()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.turnLocked(now.UTC(), known)
	before := m.kept.Today.Total()
	count(&m.kept.Today.Use)
	count(&m.since)
	m.kept.Used += m.kept.Today.Total() - before
}

func (m *meter) turnLocked(now time.Time, known bool) {
	k := &m.kept
	date, month := now.Format(time.DateOnly), now.Format("2006-01")
	if k.Today.Date == "" {
		k.Today.Date, k.Month = date, month
	}
	if !known {
		return
	}
	if k.Today.Date != date {
		if k.Today.Total() > 0 {
			k.Yesterday = k.Today
		}
		k.Today = Day{Date: date}
	}
	if k.Month != month {
		k.Month, k.Used = month, 0
	}
}

// message counts an encoded message, either way.
func (m *meter) message(msg wire.Message, bytes int) {
	n := int64(bytes)
	m.add(func(u *Use) {
		switch msg := msg.(type) {
		case *wire.Update:
			if msg.Lane == wire.LaneLive {
				u.Live += n
			} else {
				u.Backlog += n
			}
		case *wire.Event:
			u.Events += n
		case *wire.Command, *wire.Result, *wire.Config, *wire.Reported:
			u.Commands += n
		default:
			u.Control += n
		}
		u.TLS -= n // the socket counts it too
	})
}

// lane counts an encoded message of a lane.
func (m *meter) lane(l lane, bytes int) {
	n := int64(bytes)
	m.add(func(u *Use) {
		switch l {
		case laneLive:
			u.Live += n
		case laneBacklog:
			u.Backlog += n
		default:
			u.Events += n
		}
		u.TLS -= n
	})
}

// allow tells what the budget allows now.
func (m *meter) allow() Allowance {
	now, known := m.wall()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.turnLocked(now.UTC(), known)
	return m.budget.Allow(m.kept.Used, now)
}

// save passes on what is to outlive a restart.
func (m *meter) save() {
	m.warn()
	if m.keep == nil {
		return
	}
	m.mu.Lock()
	text, err := json.Marshal(m.kept)
	m.mu.Unlock()
	if err == nil { // numbers and dates: always
		m.keep(text)
	}
}

// warn tells people when the budget is used up, and when it is not any more.
func (m *meter) warn() {
	m.mu.Lock()
	spent, month := m.budget.Limit > 0 && m.kept.Used >= m.budget.Limit, m.kept.Month
	changed := spent != m.spent
	m.spent = spent
	m.mu.Unlock()
	switch {
	case !changed || m.conditions == nil:
	case spent:
		m.conditions.Raise(codeBudget, "", health.Warning, fmt.Sprintf("the line has used its budget for %s (%d MiB): "+
			"the backlog waits for the next month, live readings leave every %v, events as always; raise [uplink] budget if that is too slow",
			month, m.budget.Limit>>20, m.budget.Floor))
	default:
		m.conditions.Clear(codeBudget, "", "a new month has begun: backlog and live readings leave as always")
	}
}

// traffic gives the figures.
func (m *meter) traffic() Traffic {
	a := m.allow()
	m.mu.Lock()
	defer m.mu.Unlock()
	t := Traffic{
		Today: m.kept.Today, Yesterday: m.kept.Yesterday, Month: m.kept.Month, Used: m.kept.Used,
		Budget: m.budget.Limit, Idle: m.idle, Since: m.since,
	}
	switch {
	case !a.Backlog && a.Live > 0:
		t.HeldBack = "backlog, live"
	case !a.Backlog:
		t.HeldBack = "backlog"
	}
	return t
}

// beat notes the time between pings.
func (m *meter) beat(ping time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.idle = idleDaily(ping)
}

// A metered socket tells the meter what it carries.
type metered struct {
	net.Conn
	m *meter

	written atomic.Int64 // bytes that the kernel took

	mu       sync.Mutex
	segments int64 // counted so far
}

// Read implements net.Conn.
func (c *metered) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.m.add(func(u *Use) { u.Received += int64(n); u.TLS += int64(n) })
	return n, err
}

// Write implements net.Conn.
func (c *metered) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.written.Add(int64(n))
	c.m.add(func(u *Use) { u.Sent += int64(n); u.TLS += int64(n) })
	return n, err
}

// Close counts for the last time.
func (c *metered) Close() error {
	c.sample()
	return c.Conn.Close()
}

const (
	tcpHeader  = 20
	timestamps = 12 // RFC 7323, appendix A: two of NOP and the option
	optStamps  = 1  // TCPI_OPT_TIMESTAMPS of linux/tcp.h
	ipv4Header = 20
	ipv6Header = 40
)

// sample counts the headers of the segments since the last time. A kernel
// before 4.2 does not count them.
func (c *metered) sample() {
	info := tcpInfo(c.Conn)
	if info == nil {
		return
	}
	each := int64(tcpHeader + ipv6Header)
	if a, ok := c.RemoteAddr().(*net.TCPAddr); ok && a.IP.To4() != nil {
		each = tcpHeader + ipv4Header
	}
	if info.Options&optStamps != 0 {
		each += timestamps
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	n := segments(info)
	more := n - c.segments
	c.segments = n
	c.m.add(func(u *Use) { u.TCP += more * each })
}

func segments(info *unix.TCPInfo) int64 { return int64(info.Segs_out) + int64(info.Segs_in) }

const (
	pingBytes  = 12           // {0: 12, 10: µs} in CBOR, once the board is up for more than an hour
	pongBytes  = 35           // {0: 13, 10, 11, 12}
	clientHead = 6            // of a WebSocket frame: 2 bytes and the mask (RFC 6455 section 5.2)
	serverHead = 2            //
	tlsHead    = 5 + 1 + 16   // record, content type, tag (RFC 8446 section 5.2)
	tcpHeads   = 20 + 20 + 12 // IPv4, TCP with timestamps
)

// idleDaily is what heartbeats alone cost in a day, in bytes: a ping and its
// pong, each with its framing, and the segment that acknowledges the pong (the
// ping's rides on the pong). TestIdleCost measures the same.
func idleDaily(ping time.Duration) int64 {
	one := pingBytes + clientHead + pongBytes + serverHead + 2*tlsHead + 3*tcpHeads
	return int64(one) * int64(24*time.Hour/ping)
}
