package main

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/health"
	"github.com/fieldgate/fieldgate/store"
	"github.com/fieldgate/fieldgate/store/plant"
)

// wall is a clock whose stamps follow the time of the program.
type wall struct{ began time.Time }

func (w wall) Stamp() gateway.Stamp { return gateway.Stamp(time.Since(w.began).Microseconds()) }
func (w wall) Anchor() gateway.Anchor {
	return gateway.Anchor{Boot: gateway.BootID{1}, Offset: w.began.UnixMicro(), Quality: gateway.ClockNTP}
}

func openStore(flush time.Duration) (*store.Store, string, error) {
	dir, err := os.MkdirTemp("", "fieldgate-bench-")
	if err != nil {
		return nil, "", fmt.Errorf("make a folder: %w", err)
	}
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	s, err := store.Open(store.Options{
		Dir: dir, FlushInterval: flush, HistoryFlush: 10 * time.Minute, History: time.Hour,
		Rate: 1e6, Burst: 100, Clock: wall{time.Now()}, Conditions: health.New(log), Log: log,
	})
	return s, dir, err
}

// appending is the path of a reading into the store, 20 channels at a time:
// Append alone, and with the commits that follow every 100,000 readings, all
// on one core's time.
func appending(string) error {
	s, dir, err := openStore(5 * time.Second)
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	source := plant.New(1)
	const rounds, visits = 40, 5000
	rs := make([][]gateway.Reading, visits)
	var alone time.Duration
	var all time.Duration
	for range rounds {
		for i := range rs {
			rs[i] = source.Append(rs[i][:0], 20)
		}
		start := time.Now()
		for _, visit := range rs {
			if _, err := s.Append(visit); err != nil {
				return err
			}
		}
		alone += time.Since(start)
		if err := s.Flush(); err != nil {
			return err
		}
		all += time.Since(start)
	}
	const n = rounds * visits * 20
	print("append", float64(alone.Nanoseconds())/n, "ns/reading")
	print("append-and-commit", n/all.Seconds(), "readings/s")
	if dropped := s.Stats().Dropped; dropped > 0 {
		return fmt.Errorf("the store dropped %d readings, so the figures above mean nothing", dropped)
	}
	return s.Close()
}

// storing is what a reading takes on the card: 20 channels at 1 Hz with the
// noise of real chips, committed every 5 s for an hour as in an outage, and in
// blocks of 4,096 as while the cloud acks.
func storing(string) error {
	for _, c := range []struct {
		name  string
		every int // readings in a commit
	}{{"stored-outage-5s", 100}, {"stored-full-blocks", 4096}} {
		if err := storeInCommitsOf(c.name, c.every); err != nil {
			return err
		}
	}
	return nil
}

func storeInCommitsOf(name string, every int) error {
	s, dir, err := openStore(10 * time.Millisecond)
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	source := plant.New(1)
	var rs []gateway.Reading
	total := 0
	for total < 100*4096 {
		rs = source.Append(rs[:0], every)
		if _, err := s.Append(rs); err != nil {
			return err
		}
		total += every
		if err := s.Flush(); err != nil {
			return err
		}
		if every < 1000 && total >= 72_000 {
			break // an hour
		}
	}
	written := s.Stats().Written
	if err := s.Close(); err != nil {
		return err
	}
	var onCard int64
	files, err := filepath.Glob(filepath.Join(dir, "log", "*.db"))
	if err != nil {
		return err
	}
	for _, f := range files {
		info, err := os.Stat(f)
		if err != nil {
			return fmt.Errorf("measure a volume: %w", err)
		}
		onCard += info.Size()
	}
	print(name+"-blocks", float64(written)/float64(total), "B/reading")
	print(name+"-file", float64(onCard)/float64(total), "B/reading")
	return nil
}
