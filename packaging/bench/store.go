package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/health"
	"github.com/fieldgate/fieldgate/packaging/bench/plant"
	"github.com/fieldgate/fieldgate/store"
)

// wall is a clock whose stamps are those of the readings stored last.
type wall struct {
	began time.Time
	now   gateway.Stamp
}

func (w *wall) Stamp() gateway.Stamp { return w.now }
func (w *wall) Anchor() gateway.Anchor {
	return gateway.Anchor{Boot: gateway.BootID{1}, Offset: w.began.UnixMicro(), Quality: gateway.ClockNTP}
}

// A bench is a store that is filled by hand: nothing runs beside it, every
// flush is asked for.
type bench struct {
	*store.Store
	dir   string
	clock *wall
	plant *plant.Plant
	rs    []gateway.Reading
	total uint64
}

func openBench(dir string, history time.Duration) (*bench, error) {
	b := &bench{dir: dir, clock: &wall{began: time.Now().Add(-800 * time.Hour)}, plant: plant.New(1)}
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	var err error
	b.Store, err = store.Open(store.Options{
		Dir: dir, FlushInterval: 10 * time.Millisecond, HistoryFlush: 10 * time.Millisecond, History: history,
		Rate: 1e6, Burst: 100, Clock: b.clock, Conditions: health.New(log), Log: log,
	})
	return b, err
}

// add stores the plant's next n readings and flushes.
func (b *bench) add(n int) error {
	b.rs = b.plant.Append(b.rs[:0], n)
	b.clock.now = b.rs[n-1].At
	if _, err := b.Append(b.rs); err != nil {
		return err
	}
	b.total += uint64(n)
	return b.Flush()
}

// sound fails if readings were dropped: then no figure means anything.
func (b *bench) sound() error {
	if n := b.Stats().Dropped; n > 0 {
		return fmt.Errorf("the store dropped %d readings", n)
	}
	return nil
}

func inFolder(f func(dir string) error) error {
	dir, err := os.MkdirTemp("", "fieldgate-bench-")
	if err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	defer os.RemoveAll(dir)
	return f(dir)
}

// appending is the path of a reading into the store on one core, 20 at a
// time: Append alone, and with a flush every 100,000 readings, which at a
// flush_interval of 5 s are 20,000 a second.
func appending(string) error {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	return inFolder(func(dir string) error {
		b, err := openBench(filepath.Join(dir, "store"), time.Hour)
		if err != nil {
			return err
		}
		const rounds, visits = 40, 5000
		rs := make([][]gateway.Reading, visits)
		var alone, all time.Duration
		for range rounds {
			for i := range rs {
				rs[i] = b.plant.Append(rs[i][:0], 20)
			}
			start := time.Now()
			if err := b.appendAll(rs); err != nil {
				return err
			}
			alone += time.Since(start)
			if err := b.Flush(); err != nil {
				return err
			}
			all += time.Since(start)
		}
		const n = rounds * visits * 20
		print("append", float64(alone.Nanoseconds())/n, "ns/reading")
		ours := n / all.Seconds()
		for _, p := range peers {
			theirs, err := p.run(dir)
			if err != nil {
				return err
			}
			printBeside("append-and-commit-"+p.name, ours, "readings/s", theirs)
		}
		return b.sound()
	})
}

func (b *bench) appendAll(visits [][]gateway.Reading) error {
	for _, visit := range visits {
		if _, err := b.Append(visit); err != nil {
			return err
		}
	}
	return nil
}

// wearing is what reaches the card: with 20 readings a second in an outage,
// flushed every 5 s for two hours, and online for a day, when the cloud acks
// and 10 minutes are flushed at once; then state.db is written each time too.
func wearing(string) error {
	c, err := insertCard()
	if err != nil {
		fmt.Println("# no figures of what reaches the card:", err)
		return nil
	}
	defer c.remove()
	outage, err := c.bytesPerReading(filepath.Join(c.dir, "outage"), 1440, 100, false)
	if err != nil {
		return err
	}
	online, err := c.bytesPerReading(filepath.Join(c.dir, "online"), 144, 12_000, true)
	if err != nil {
		return err
	}
	for _, p := range peers {
		before, err := c.written()
		if err != nil {
			return err
		}
		if _, err := p.run(c.dir); err != nil {
			return err
		}
		after, err := c.written()
		if err != nil {
			return err
		}
		theirs := (after - before) / float64(p.readings)
		printBeside("card-bytes-outage-"+p.name, outage, "B/reading", theirs)
		printBeside("card-bytes-online-"+p.name, online, "B/reading", theirs)
	}
	return nil
}

// bytesPerReading stores a number of flushes and gives what the device got.
func (c *card) bytesPerReading(dir string, flushes, readings int, acked bool) (float64, error) {
	before, err := c.written()
	if err != nil {
		return 0, err
	}
	b, err := openBench(dir, 24*time.Hour)
	if err != nil {
		return 0, err
	}
	b.Session(true, time.Minute)
	for range flushes {
		if err := b.add(readings); err != nil {
			return 0, err
		}
		if es := b.Epochs(); acked {
			if err := b.Ack(es[len(es)-1].ID, b.total, false); err != nil {
				return 0, err
			}
		}
	}
	after, err := c.written()
	if err != nil {
		return 0, err
	}
	if err := b.sound(); err != nil {
		return 0, err
	}
	return (after - before) / float64(b.total), b.Close()
}

// month is a backlog of 30 days, 20 channels at 1 Hz: what it takes on the
// card, how fast it is read, and how fast a gateway starts on it that was
// killed.
func month(bin string) error {
	return inFolder(func(dir string) error {
		state := filepath.Join(dir, "store")
		b, err := openBench(state, time.Hour)
		if err != nil {
			return err
		}
		const total = 30 * 24 * 3600 * 20
		for b.total+65_536 <= total-100 {
			if err := b.add(65_536); err != nil {
				return err
			}
		}
		if err := b.add(int(total-100-b.total)/4096*4096 + 100); err != nil {
			return err
		}
		if err := b.add(100); err != nil { // and a little in the journal
			return err
		}
		if err := b.sound(); err != nil {
			return err
		}
		killed := filepath.Join(dir, "killed")
		if err := os.CopyFS(killed, os.DirFS(state)); err != nil {
			return fmt.Errorf("copy the store: %w", err)
		}
		if err := reading(b); err != nil {
			return err
		}
		if err := b.Close(); err != nil {
			return err
		}
		size, err := volumeBytes(state)
		if err != nil {
			return err
		}
		print("stored", size/float64(b.total), "B/reading")
		return startingOn(bin, killed)
	})
}

// reading walks the backlog as the uplink does.
func reading(b *bench) error {
	es := b.Epochs()
	id, start := es[len(es)-1].ID, time.Now()
	for seq := uint64(1); seq <= b.total; {
		blk, err := b.Next(context.Background(), id, seq, 0)
		if err != nil {
			return err
		}
		seq = blk.Last() + 1
	}
	print("backlog-read", float64(b.total)/time.Since(start).Seconds(), "readings/s")
	return nil
}

func volumeBytes(dir string) (total float64, err error) {
	files, err := filepath.Glob(filepath.Join(dir, "log", "*.db"))
	if err != nil {
		return 0, err
	}
	for _, f := range files {
		info, err := os.Stat(f)
		if err != nil {
			return 0, fmt.Errorf("measure a volume: %w", err)
		}
		total += float64(info.Size())
	}
	return total, nil
}

// asking is a day of 6 channels at 1 Hz in 2,000 buckets, the store holding
// 20 channels, and holding these 6 alone.
func asking(string) error {
	for _, c := range []struct {
		name  string
		every int // readings of the plant that count
	}{{"history-day-of-20-channels", 20}, {"history-day-of-6-channels", 6}} {
		if err := inFolder(func(dir string) error { return ask(dir, c.name, c.every) }); err != nil {
			return err
		}
	}
	return nil
}

func ask(dir, name string, channels int) error {
	b, err := openBench(filepath.Join(dir, "store"), time.Hour)
	if err != nil {
		return err
	}
	q := gateway.HistoryQuery{From: b.clock.began, To: b.clock.began.Add(24 * time.Hour), Buckets: 2000}
	for s := range 86_400 {
		b.rs = b.plant.Append(b.rs[:0], 20)
		b.clock.now = b.rs[19].At
		if s == 0 {
			for _, r := range b.rs[:6] {
				q.Channels = append(q.Channels, *r.Channel)
			}
		}
		if _, err := b.Append(b.rs[:channels]); err != nil {
			return err
		}
		if s%600 == 599 {
			if err := b.Flush(); err != nil {
				return err
			}
		}
	}
	best := time.Hour
	for range 5 {
		start := time.Now()
		h, err := b.History(context.Background(), q)
		if err != nil {
			return err
		}
		best = min(best, time.Since(start))
		n := uint64(0)
		for _, s := range h.Series {
			for _, bucket := range s.Buckets {
				n += bucket.N
			}
		}
		if n < 6*86_000 {
			return fmt.Errorf("the history holds %d readings of 518,400", n)
		}
	}
	print(name, float64(best.Microseconds())/1000, "ms")
	return b.Close()
}
