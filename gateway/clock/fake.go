package clock

import (
	"sync"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
)

// A Fake is a Clock for tests: its stamps follow the time of the program, the
// virtual one in a synctest bubble, and its wall clock is set by hand.
type Fake struct {
	*Clock
	src *fakeSource
}

type fakeSource struct {
	began time.Time
	at    gateway.Stamp // stamp when it began

	mu      sync.Mutex
	offset  int64
	quality gateway.ClockQuality
	bound   time.Duration
}

// NewFake gives a clock of the given boot, up for a minute, whose wall clock
// shows the time of the program with quality ntp.
func NewFake(boot gateway.BootID) *Fake {
	src := &fakeSource{began: time.Now(), at: gateway.Stamp(0).Add(time.Minute)}
	f := &Fake{Clock: &Clock{boot: boot, src: src}, src: src}
	f.Set(src.began, gateway.ClockNTP, time.Millisecond)
	return f
}

// Set sets the wall clock, and how far it is to be believed.
func (f *Fake) Set(wall time.Time, quality gateway.ClockQuality, bound time.Duration) {
	f.src.mu.Lock()
	defer f.src.mu.Unlock()
	f.src.offset = wall.UnixMicro() - int64(f.src.stamp())
	f.src.quality, f.src.bound = quality, bound
}

func (s *fakeSource) stamp() gateway.Stamp { return s.at.Add(time.Since(s.began)) }

func (s *fakeSource) look() (gateway.Stamp, int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.stamp()
	return now, int64(now) + s.offset
}

func (s *fakeSource) trust(bool) (gateway.ClockQuality, time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.quality, s.bound
}
