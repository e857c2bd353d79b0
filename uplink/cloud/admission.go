package cloud

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Admission bounds what comes in before a session begins. Nothing of it can
// be used by one gateway to keep another out, except for gateways that share
// an address.
type Admission struct {
	PerSecond int // upgrades of all gateways together; 0: 200, below 0: no limit
	// requests for an upgrade a minute from one address (of IPv6: from one /64); 0: 1200, below 0: no limit.
	// Raise it where thousands of gateways share an address, or a proxy stands before the server.
	PerAddress int
	PerGateway int // upgrades a minute of one gateway; 0: 20, below 0: no limit
	Wrong      int // wrong credentials a minute from one address that get an answer of their own and a line in the log; 0: 10
	Sessions   int // at the same time; 0: 50,000
}

func (a Admission) orDefaults() Admission {
	def := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	def(&a.PerSecond, 200)
	def(&a.PerAddress, 1200)
	def(&a.PerGateway, 20)
	def(&a.Wrong, 10)
	def(&a.Sessions, 50_000)
	return a
}

// limiter lets n events through at once and n more in each period; n < 0: all.
func limiter(n int, period time.Duration) *rate.Limiter {
	if n < 0 {
		return rate.NewLimiter(rate.Inf, 0)
	}
	return rate.NewLimiter(rate.Every(period/time.Duration(n)), n)
}

// delay gives how long to wait until l lets something through; 0: it has.
func delay(l *rate.Limiter) time.Duration {
	res := l.Reserve()
	wait := res.Delay()
	if wait > 0 {
		res.Cancel()
	}
	return wait
}

const (
	maxAddresses = 1 << 14 // of which a gate keeps count
	lookAt       = 16      // of them when there is no room
	slack        = 4       // the part of what is let in that is not planned with
)

// A gate counts what comes in from everywhere and from each address.
type gate struct {
	admission Admission
	all       *rate.Limiter
	later     *rate.Limiter // the places of those that were too many for all

	mu        sync.Mutex
	addresses map[netip.Addr]*address
}

type address struct {
	upgrades, wrong *rate.Limiter
	last            time.Time
}

func newGate(a Admission) *gate {
	return &gate{admission: a, all: limiter(a.PerSecond, time.Second), later: limiter(max(1, a.PerSecond/slack), time.Second),
		addresses: map[netip.Addr]*address{}}
}

// planned is how many gateways a second may be expected to come back
// together: not as many as are let in, since those that failed or were refused
// come on top.
func (g *gate) planned() int {
	most := g.admission.PerSecond
	if most < 0 {
		most = Admission{}.orDefaults().PerSecond
	}
	return max(1, most-most/slack)
}

// comeBack gives when one that was too many shall try again: in its turn, at a
// rate that there is room for beside those that are planned.
func (g *gate) comeBack(spread time.Duration) time.Duration {
	res := g.later.Reserve()
	if wait := res.Delay(); wait < spread {
		return time.Second + wait
	}
	res.Cancel()
	return time.Second + rand.N(spread)
}

// of gives the count of an address.
func (g *gate) of(remote string) *address {
	from := addressOf(remote)
	now := time.Now()
	g.mu.Lock()
	defer g.mu.Unlock()
	a := g.addresses[from]
	if a == nil {
		if len(g.addresses) >= maxAddresses {
			g.forgetLocked(now)
		}
		a = &address{upgrades: limiter(g.admission.PerAddress, time.Minute), wrong: limiter(g.admission.Wrong, time.Minute)}
		g.addresses[from] = a
	}
	a.last = now
	return a
}

// forgetLocked makes room for one more, at a cost that does not grow: of a few
// addresses it forgets those that were silent for a minute and may do all
// again; if there are none, any one.
func (g *gate) forgetLocked(now time.Time) {
	looked := 0
	for from, a := range g.addresses {
		looked++
		if now.Sub(a.last) > time.Minute || looked == lookAt && len(g.addresses) >= maxAddresses {
			delete(g.addresses, from)
		}
		if looked == lookAt {
			return
		}
	}
}

// addressOf gives what counts as one address: of IPv6, where one customer has
// at least a /64, the /64. What is no address is counted together.
func addressOf(remote string) netip.Addr {
	at, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Addr{}
	}
	ip := at.Addr().Unmap().WithZone("")
	if p, err := ip.Prefix(64); ip.Is6() && err == nil {
		return p.Addr()
	}
	return ip
}

// admitAddress answers requests that are too many, before anything else is
// done for them, and reports whether this one is not.
func (s *Server) admitAddress(w http.ResponseWriter, from *address) bool {
	if wait := delay(from.upgrades); wait > 0 {
		s.tooMany(w, wait, fmt.Sprintf("more than %d connections a minute from this address", s.gate.admission.PerAddress))
		return false
	}
	if delay(s.gate.all) > 0 {
		retryAfter(w, s.gate.comeBack(time.Duration(s.spread())*time.Second))
		s.refuse(w, http.StatusServiceUnavailable, "busy", "too many gateways connect at the moment")
		return false
	}
	return true
}

// admitGateway is like admitAddress for a gateway with a valid credential:
// only those are counted, so that nobody can keep a gateway out by using its
// name.
func (s *Server) admitGateway(w http.ResponseWriter, id string) bool {
	s.mu.Lock()
	wait := delay(s.entryLocked(id).upgrades)
	s.mu.Unlock()
	if wait > 0 {
		s.tooMany(w, wait, fmt.Sprintf("more than %d connections a minute", s.gate.admission.PerGateway))
	}
	return wait == 0
}

func (s *Server) tooMany(w http.ResponseWriter, wait time.Duration, message string) {
	retryAfter(w, wait)
	s.refuse(w, http.StatusTooManyRequests, "too_many", message)
}

func retryAfter(w http.ResponseWriter, wait time.Duration) {
	w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
}
