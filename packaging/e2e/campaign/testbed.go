package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fieldgate/fieldgate/packaging/e2e/campaign/disk"
	"github.com/fieldgate/fieldgate/packaging/e2e/campaign/judge"
	"github.com/fieldgate/fieldgate/packaging/e2e/campaign/line"
)

const mib = 1 << 20

// The boards. The first two have min_free as it is shipped; on the first it is
// more than the card has. What a board is set to take counts hostsys with the 64
// quantities that it may have; it gives some fifty readings a second.
var plans = []plan{
	{
		Board: judge.Board{Name: "small-card", Card: 200 * mib, FlushS: 5, Rate: 350, Channels: 66}, onError: "remount-ro", maxSize: "64MiB",
		devices: fmt.Sprintf(itself, 200) + fmt.Sprintf(device, "boiler", 0x48, 50, 1) + fmt.Sprintf(device, "tank", 0x49, 100, 2),
	},
	{
		Board: judge.Board{Name: "as-shipped", Card: 600 * mib, FlushS: 5, Rate: 271, Channels: 66}, onError: "continue", maxSize: "1GiB",
		devices: fmt.Sprintf(itself, 250) + fmt.Sprintf(device, "boiler", 0x4a, 100, 3) + fmt.Sprintf(device, "tank", 0x4b, 200, 4),
	},
	{
		Board:   judge.Board{Name: "small-floor", Card: 64 * mib, MinFree: "1MiB", FlushS: 1, Rate: 350, Channels: 66},
		onError: "remount-ro", maxSize: "16MiB",
		devices: fmt.Sprintf(itself, 200) + fmt.Sprintf(device, "boiler", 0x4c, 50, 5) + fmt.Sprintf(device, "tank", 0x4d, 100, 6),
	},
}

const cloudCard = 768 * mib

// A testbed is everything that runs.
type testbed struct {
	o                 options
	dir               string
	fieldgate, server string
	evidence          *recorder
	shelf             *disk.Shelf
	cloud             *cloud
	boards            []*board
	stalls            *stallMeter
	run               judge.Run

	mu  sync.Mutex // guards all
	all []*board   // clones too
}

func (w *testbed) path(name string) string { return filepath.Join(w.dir, name) }

func (w *testbed) act(a judge.Act) {
	a.At = time.Now().UTC()
	w.evidence.note(judge.ActsFile, a)
}

// newTestbed makes cards, lines and credentials. Nothing runs yet.
func newTestbed(o options, dir string) (*testbed, error) {
	w := &testbed{o: o, dir: dir, stalls: newStallMeter()}
	var err1, err2, err3 error
	w.fieldgate, err1 = absolute(filepath.Join(o.bin, "fieldgate"))
	w.server, err2 = absolute(filepath.Join(o.bin, "fieldgate-cloud"))
	w.evidence, err3 = newRecorder(w.path("evidence"))
	if err := errors.Join(err1, err2, err3, w.mounts()); err != nil {
		return w, err
	}
	version, err := exec.Command(w.fieldgate, "version").Output()
	if err != nil {
		return w, err
	}
	w.run = judge.Run{Seed: o.seed, Asked: time.Duration(o.seconds) * time.Second, Programs: strings.TrimSpace(string(version))}
	if err := w.makeCloud(); err != nil {
		return w, err
	}
	for i, p := range plans {
		card, err := disk.Format(w.shelf, w.path("cards"), p.Name, p.onError, p.Card, w.random(uint64(100+i)))
		if err != nil {
			return w, err
		}
		b, err := w.board(p, p.Name, card, w.random(uint64(i)))
		if err != nil {
			return w, err
		}
		w.boards = append(w.boards, b)
		w.run.Boards = append(w.run.Boards, p.Board)
	}
	return w, nil
}

func (w *testbed) random(stream uint64) *rand.Rand { return rand.New(rand.NewPCG(w.o.seed, stream)) }

// mounts prepares the folders: what is mounted below cards is seen, and gone
// again, in the namespaces of all hosts.
func (w *testbed) mounts() error {
	for _, name := range []string{"cards", "fuse"} {
		if err := os.Mkdir(w.path(name), 0o700); err != nil {
			return err
		}
	}
	err := errors.Join(
		unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""),
		unix.Mount(w.path("cards"), w.path("cards"), "", unix.MS_BIND, ""),
		unix.Mount("", w.path("cards"), "", unix.MS_SHARED, ""),
	)
	if err != nil {
		return fmt.Errorf("prepare mounts: %w", err)
	}
	w.shelf, err = disk.NewShelf(w.path("fuse"))
	return err
}

func (w *testbed) makeCloud() error {
	card, err := disk.Format(w.shelf, w.path("cards"), "cloud", "remount-ro", cloudCard, w.random(90))
	if err != nil {
		return err
	}
	w.cloud = &cloud{testbed: w, card: card, random: w.random(91)}
	if w.cloud.port, err = freePort(); err != nil {
		return err
	}
	if err := w.cloud.insert(""); err != nil {
		return err
	}
	var names []string
	for _, p := range plans {
		names = append(names, p.Name)
	}
	return w.cloud.enrol(names)
}

// board sets one up around its card.
func (w *testbed) board(p plan, name string, card *disk.Card, random *rand.Rand) (*board, error) {
	l, err := line.New(fmt.Sprintf("127.0.0.1:%d", w.cloud.port))
	if err != nil {
		return nil, err
	}
	b := &board{testbed: w, name: name, gateway: p.Name, plan: p, card: card, line: l, random: random}
	if b.port, err = freePort(); err != nil {
		return nil, err
	}
	w.mu.Lock()
	w.all = append(w.all, b)
	w.mu.Unlock()
	return b, b.configure(p.devices)
}

// double makes a board with a copy of a card, and its line.
func (w *testbed) double(b *board) (*board, error) {
	name := fmt.Sprintf("%s-clone%d", b.name, len(b.clones)+1)
	card, err := b.card.Clone(w.path("cards"), name)
	if err != nil {
		return nil, err
	}
	c, err := w.board(b.plan, name, card, b.random)
	if err == nil {
		c.slot = b.copySlot
	}
	return c, err
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// live runs everything: faults, then healing and draining, then the evidence
// that is left.
func (w *testbed) live(ctx context.Context) error {
	w.run.Began = time.Now().UTC()
	measured, done := context.WithCancel(ctx)
	defer done()
	go w.stalls.measure(measured)
	if err := w.cloud.rise(ctx); err != nil {
		return err
	}
	if err := w.suffer(ctx); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	w.act(judge.Act{To: "all", What: "everything healed"})
	if err := w.drain(ctx); err != nil {
		return err
	}
	w.run.Ended = time.Now().UTC()
	for _, b := range w.boards {
		k, err := w.cloud.claim(ctx, b.gateway, nil)
		if err := errors.Join(err, w.cloud.export(ctx, b.gateway)); err != nil {
			return fmt.Errorf("export the cloud's log: %w", err)
		}
		k.Final = true
		w.evidence.note(judge.ClaimsFile, k)
	}
	return w.evidence.run(w.run)
}

// suffer is the time of faults.
func (w *testbed) suffer(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, w.run.Asked)
	defer cancel()
	var all sync.WaitGroup
	errs := make(chan error, len(w.boards)+1)
	failed := func(err error) {
		if err != nil {
			cancel()
		}
		errs <- err
	}
	var names []string
	for i, b := range w.boards {
		names = append(names, b.gateway)
		if err := errors.Join(b.insert("", 0), b.start(ctx)); err != nil {
			return err
		}
		all.Go(func() { failed(b.suffer(limited)) })
		all.Go(func() { b.trouble(limited, w.random(uint64(200+i))) })
	}
	all.Go(func() { failed(w.cloud.suffer(limited)) })
	all.Go(func() { w.cloud.listen(limited, names, w.random(300)) })
	all.Wait()
	var err error
	for range len(w.boards) + 1 {
		err = errors.Join(err, <-errs)
	}
	return err
}

// clear ends every process and unmounts everything.
func (w *testbed) clear() {
	w.mu.Lock()
	defer w.mu.Unlock()
	programs := []*program{w.cloud.run}
	for _, b := range w.all {
		b.line.Close()
		programs = append(programs, b.run)
	}
	for _, p := range programs {
		if p != nil && !p.gone() {
			p.signal(unix.SIGKILL)
		}
	}
	for _, b := range w.all {
		b.card.Discard()
	}
	w.cloud.card.Discard()
	for _, p := range programs {
		if p != nil {
			p.wait(10 * time.Second)
		}
	}
	_ = w.shelf.Close()
	_ = unix.Unmount(w.path("cards"), unix.MNT_DETACH)
}

// keepLogs keeps the programs' logs beside the evidence.
func (w *testbed) keepLogs(dir string) error {
	logs, err := filepath.Glob(w.path("*.log"))
	for _, log := range logs {
		err = errors.Join(err, exec.Command("cp", log, dir).Run())
	}
	return err
}

// A stallMeter measures how long this machine keeps a process waiting that
// wants to run.
type stallMeter struct {
	mu     sync.Mutex
	at     []time.Time
	stalls []time.Duration
}

const stallEvery = 50 * time.Millisecond

func newStallMeter() *stallMeter { return &stallMeter{} }

func (m *stallMeter) measure(ctx context.Context) {
	for ctx.Err() == nil {
		began := time.Now()
		time.Sleep(stallEvery)
		if late := time.Since(began) - stallEvery; late > 20*time.Millisecond {
			m.mu.Lock()
			m.at, m.stalls = append(m.at, began), append(m.stalls, late)
			m.mu.Unlock()
		}
	}
}

// since is the longest stall since t.
func (m *stallMeter) since(t time.Time) (longest time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := len(m.at) - 1; i >= 0 && m.at[i].After(t.Add(-time.Second)); i-- {
		longest = max(longest, m.stalls[i])
	}
	return longest
}
