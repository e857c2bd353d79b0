package pipeline_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/health"
	"github.com/fieldgate/fieldgate/gateway/pipeline"
)

// store names readings, and notes them together with what was shown.
type store struct {
	mu     sync.Mutex
	epoch  gateway.EpochID
	seq    uint64
	err    error
	stored []gateway.Reading
	shown  []gateway.Name
}

func (s *store) Append(rs []gateway.Reading) (gateway.Name, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return gateway.Name{}, s.err
	}
	s.seq += uint64(len(rs))
	s.stored = append(s.stored, rs...)
	return gateway.Name{Epoch: s.epoch, Seq: s.seq}, nil
}

func (s *store) Publish(first gateway.Name, rs []gateway.Reading) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, r := range rs {
		s.shown = append(s.shown, gateway.Name{Epoch: first.Epoch, Seq: first.Seq + uint64(i)})
		if s.stored[first.Seq+uint64(i)-1] != r {
			panic(fmt.Sprintf("shown as %d is another reading than the one stored as that", first.Seq+uint64(i)))
		}
	}
}

func (s *store) values() string {
	var parts []string
	for _, r := range s.stored {
		parts = append(parts, fmt.Sprintf("%g", r.Value))
	}
	return strings.Join(parts, " ")
}

var temperature = &gateway.Channel{Device: "boiler", Quantity: "temperature", Unit: "Cel"}

func newPipeline(s *store, cs ...pipeline.Channel) (*pipeline.Pipeline, *health.Table, *bytes.Buffer) {
	var log bytes.Buffer
	table := health.New(slog.New(slog.NewTextHandler(&log, nil)))
	return pipeline.New(pipeline.Options{Channels: cs, Outbox: s, Live: s, Health: table}), table, &log
}

// at gives a reading taken after the given seconds.
func at(seconds float64, value float64) []gateway.Reading {
	return []gateway.Reading{{Channel: temperature, Value: value, At: gateway.Stamp(seconds * 1e6)}}
}

func TestWithoutSettingsReadingsPassAsTheyAre(t *testing.T) {
	s := &store{epoch: gateway.EpochID{3}}
	p, _, _ := newPipeline(s, pipeline.Channel{Device: "boiler", Quantity: "humidity", Offset: 9},
		pipeline.Channel{Device: "tank", Quantity: "temperature", Offset: 9})
	in := at(1, 20.5)
	p.Take(in)
	p.Take(in)
	if !slices.Equal(s.stored, append(at(1, 20.5), at(1, 20.5)...)) {
		t.Errorf("stored %v", s.stored)
	}
	if want := []gateway.Name{{Epoch: s.epoch, Seq: 1}, {Epoch: s.epoch, Seq: 2}}; !slices.Equal(s.shown, want) {
		t.Errorf("shown %v, want %v", s.shown, want)
	}
}

func TestScaleThenOffsetThenRange(t *testing.T) {
	s := &store{}
	p, _, _ := newPipeline(s, pipeline.Channel{Device: "boiler", Quantity: "temperature", Scale: 2, Offset: -1, Range: &[2]float64{-40, 125}})
	for i, c := range []struct {
		raw, value float64
		in, out    gateway.Quality
	}{
		{10, 19, gateway.Good, gateway.Good},
		{63, 125, gateway.Good, gateway.Good},
		{63.5, 126, gateway.Good, gateway.OutOfRange},
		{-20, -41, gateway.Good, gateway.OutOfRange},
		{-20, -41, gateway.Simulated, gateway.Simulated},
		{-20, -41, gateway.Suspect, gateway.Suspect},
	} {
		p.Take([]gateway.Reading{{Channel: temperature, Value: c.raw, Quality: c.in}})
		if got := s.stored[i]; got.Value != c.value || got.Quality != c.out {
			t.Errorf("raw %g %s became %g %s, want %g %s", c.raw, c.in, got.Value, got.Quality, c.value, c.out)
		}
	}
}

// What somebody only wants to see is treated like any other reading, and stored
// nowhere. It does not count for a deadband.
func TestTreatStoresNothing(t *testing.T) {
	s := &store{}
	p, _, _ := newPipeline(s, pipeline.Channel{Device: "boiler", Quantity: "temperature", Scale: 2, Range: &[2]float64{0, 100}, Deadband: 1})
	for raw, want := range map[float64]gateway.Quality{20: gateway.Good, 60: gateway.OutOfRange} {
		if r := p.Treat(gateway.Reading{Channel: temperature, Value: raw}); r.Value != 2*raw || r.Quality != want || r.Channel != temperature {
			t.Errorf("raw %g became %+v", raw, r)
		}
	}
	if p.Take(at(1, 10)); s.values() != "20" {
		t.Errorf("stored %s", s.values())
	}
}

func TestDeadband(t *testing.T) {
	s := &store{}
	p, _, _ := newPipeline(s, pipeline.Channel{Device: "boiler", Quantity: "temperature", Deadband: 0.5,
		MaxSilence: 10 * time.Second, Range: &[2]float64{0, 100}})
	for _, r := range [][2]float64{
		{0, 20},     // the first passes
		{1, 20.5},   // no further than the deadband
		{2, 20.75},  // further than it from the last stored one, not from the last read one
		{3, 20.5},   //
		{4, 20.25},  //
		{11, 20.5},  //
		{12, 20.5},  // ten seconds of silence
		{13, 20.25}, //
		{14, 100},   //
		{15, 100.1}, // the quality changes
		{16, 100.2}, //
		{17, 100},   // and changes back
	} {
		p.Take(at(r[0], r[1]))
	}
	if got, want := s.values(), "20 20.75 20.5 100 100.1 100"; got != want {
		t.Errorf("stored %s, want %s", got, want)
	}
}

func TestDeadbandWithoutLimitOfSilence(t *testing.T) {
	s := &store{}
	p, _, _ := newPipeline(s, pipeline.Channel{Device: "boiler", Quantity: "temperature", Deadband: 1})
	for i := range 1000 {
		p.Take(at(float64(i)*3600, 20))
	}
	if got := s.values(); got != "20" {
		t.Errorf("stored %s", got)
	}
}

// What the store refused has no name and is not shown, is told once, and is
// not what a deadband compares with.
func TestAppendFails(t *testing.T) {
	s := &store{err: errors.New("card on fire")}
	p, table, log := newPipeline(s, pipeline.Channel{Device: "boiler", Quantity: "temperature", Deadband: 1})
	p.Take(at(1, 20))
	p.Take(at(2, 20))
	if list := table.List(); len(list) != 1 || list[0].Code != "store_append" || !strings.Contains(list[0].Sentence, "card on fire") {
		t.Errorf("conditions: %+v", list)
	}
	s.err = nil
	p.Take(at(3, 20))
	p.Take(at(4, 20))
	if got := s.values(); got != "20" || len(s.shown) != 1 || s.stored[0].At != 3e6 {
		t.Errorf("stored %v, shown %v", s.stored, s.shown)
	}
	if list := table.List(); len(list) != 0 {
		t.Errorf("the condition stays: %+v", list)
	}
	if n := strings.Count(log.String(), "\n"); n != 2 {
		t.Errorf("%d log lines, want 2:\n%s", n, log)
	}
}

// Many buses at once: names reach the screens in order, without a hole.
func TestNamesReachLiveInOrder(t *testing.T) {
	s := &store{}
	p, _, _ := newPipeline(s)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			mine := &gateway.Channel{Device: fmt.Sprint(g)}
			for i := range 500 {
				p.Take(pair(mine, i))
			}
		})
	}
	wg.Wait()
	if len(s.shown) != 8000 {
		t.Fatalf("%d readings shown", len(s.shown))
	}
	for i, name := range s.shown {
		if name.Seq != uint64(i+1) {
			t.Fatalf("reading %d was shown as number %d", name.Seq, i+1)
		}
	}
}

func pair(c *gateway.Channel, i int) []gateway.Reading {
	return []gateway.Reading{{Channel: c, Value: float64(i)}, {Channel: c, Value: float64(-i)}}
}

// sink takes everything and keeps nothing.
type sink struct{ n uint64 }

func (s *sink) Append(rs []gateway.Reading) (gateway.Name, error) {
	s.n += uint64(len(rs))
	return gateway.Name{Seq: s.n}, nil
}
func (s *sink) Publish(gateway.Name, []gateway.Reading) {}

func TestTakeDoesNotAllocate(t *testing.T) {
	out := &sink{}
	p := pipeline.New(pipeline.Options{Outbox: out, Live: out, Health: health.New(slog.New(slog.DiscardHandler))})
	rs := at(1, 20)
	p.Take(rs)
	if n := testing.AllocsPerRun(1000, func() { p.Take(rs) }); n > 0 {
		t.Errorf("%g allocations per call", n)
	}
}

func BenchmarkTake(b *testing.B) {
	out := &sink{}
	p := pipeline.New(pipeline.Options{Outbox: out, Live: out, Health: health.New(slog.New(slog.DiscardHandler)),
		Channels: []pipeline.Channel{{Device: "boiler", Quantity: "temperature", Scale: 2, Range: &[2]float64{0, 1}}}})
	rs := at(1, 20)
	b.ReportAllocs()
	for b.Loop() {
		p.Take(rs)
	}
}
