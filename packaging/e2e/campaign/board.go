package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/fieldgate/fieldgate/packaging/e2e/campaign/disk"
	"github.com/fieldgate/fieldgate/packaging/e2e/campaign/judge"
	"github.com/fieldgate/fieldgate/packaging/e2e/campaign/line"
)

// A board is a gateway: its card, its line, its process. One goroutine does to
// it what is done; the fields below the empty line are that goroutine's.
type board struct {
	testbed *testbed
	name    string
	gateway string // id; a clone has that of its original
	plan    plan
	card    *disk.Card
	line    *line.Line
	port    int
	random  *rand.Rand

	run       *program
	watcher   *watcher
	unwatch   func()
	life      int
	state     cardState     // of the card now
	sound     bool          // nothing was wrong with it in this life
	full      bool          // nothing but that there was no room
	deaf      bool          // the card was of no use since before this life began
	mended    time.Time     // when the card became well again
	slot      bool          // a journal was made in a sound life
	paused    time.Duration // lately in this life …
	resumed   time.Time     // … and until when
	copy      string
	copied    time.Time
	copySlot  bool
	copyCount int
	clones    []*board
}

// A cardState is what is wrong with a card.
type cardState int

const (
	cardWell cardState = iota
	cardFull
	cardBad
)

// A plan is how a board is set up.
type plan struct {
	judge.Board
	devices string
	onError string
	maxSize string
}

const device = `
[[device]]
id = "%s"
driver = "lm75"
model = "tmp105"
bus = "sim-1"
address = %d
interval = "%dms"
[[device.channel]]
quantity = "temperature"
scale = %d.5
`

const itself = `
[[device]]
id = "board"
driver = "hostsys"
interval = "%dms"
`

// configure writes the board's configuration, with devices or, to drain,
// without.
func (b *board) configure(devices string) error {
	text := fmt.Sprintf(`version = 1
[gateway]
id = "%s"
[uplink]
url = "wss://localhost:%d/v1/gateway"
token_file = "%s"
ca = "%s"
[store]
dir = "%s"
flush_interval = "%gs"
max_size = "%s"
`, b.gateway, b.line.Port(), b.testbed.path(b.gateway+".token"), b.testbed.path("ca.pem"),
		filepath.Join(b.card.Mount, "state"), b.plan.FlushS, b.plan.maxSize)
	if b.plan.MinFree != "" {
		text += fmt.Sprintf("min_free = \"%s\"\n", b.plan.MinFree)
	}
	text += fmt.Sprintf("[local]\nlisten = \"127.0.0.1:%d\"\nview = \"open\"\n", b.port)
	return os.WriteFile(b.config(), []byte(text+devices), 0o600)
}

func (b *board) config() string   { return b.testbed.path(b.name + ".toml") }
func (b *board) ballast() string  { return filepath.Join(b.card.Mount, "ballast") }
func (b *board) bootFile() string { return b.testbed.path(b.name + ".boot") }

// act writes down what is done to the board.
func (b *board) act(what string, d time.Duration, detail string) {
	b.testbed.act(judge.Act{To: b.name, What: what, For: d, Detail: detail})
}

// insert puts the card in and mounts it, after a boot.
func (b *board) insert(check string, flags uintptr) error {
	if err := b.card.Insert(check, flags); err != nil {
		return err
	}
	if flags == 0 { // a power cut may have taken back that it was removed
		_ = os.Remove(b.ballast())
	}
	b.state = cardWell
	if flags != 0 {
		b.state = cardBad
	}
	return boot(b.bootFile())
}

// start begins a life.
func (b *board) start(ctx context.Context) error {
	b.life++
	b.sound, b.full = b.state == cardWell, b.state == cardFull
	b.deaf = b.state == cardBad || b.full && !b.slot
	p, err := launch(b.testbed.path(b.name+".log"), b.bootFile(), b.testbed.fieldgate, "run", "--config", b.config())
	if err != nil {
		return err
	}
	b.run = p
	b.watcher, b.unwatch = watch(ctx, b, b.life)
	return nil
}

// becomes notes what is wrong with the card from now on.
func (b *board) becomes(s cardState) {
	b.deaf = b.deaf && !b.tried()
	if s == cardWell {
		b.mended = time.Now()
	}
	b.full = s == cardFull && (b.sound || b.full) || s == cardWell && b.full
	b.sound = b.sound && s == cardWell
	b.state = s
}

// tried tells whether a gateway must have found out that its card works again:
// it does not try one that failed all the time.
func (b *board) tried() bool { return b.state == cardWell && time.Since(b.mended) > 30*time.Second }

// pass lets time go by. It tells whether the life went on.
func (b *board) pass(ctx context.Context, d time.Duration) bool {
	if b.run == nil {
		select {
		case <-ctx.Done():
		case <-time.After(d):
		}
		return false
	}
	select {
	case <-ctx.Done():
		return true
	case <-time.After(d):
		return true
	case <-b.run.ended:
		b.over(ctx, judge.Itself, b.run.began, 0, false)
		return false
	}
}

// end ends the life as it is told.
func (b *board) end(ctx context.Context, how string) {
	if b.run == nil {
		return
	}
	if b.run.gone() {
		b.over(ctx, judge.Itself, b.run.began, 0, false)
		return
	}
	online := how == judge.Stopped && b.online(ctx)
	told := time.Now()
	switch how {
	case judge.Stopped:
		b.run.signal(syscall.SIGTERM)
		if !b.run.wait(3 * time.Minute) {
			b.run.signal(syscall.SIGKILL)
		}
	default:
		b.run.signal(syscall.SIGKILL)
	}
	if !b.run.wait(time.Second) {
		b.card.Heal() // a process that waits for a card cannot die before it answers
		b.run.wait(2 * time.Minute)
	}
	online = online && b.untroubled(told)
	b.over(ctx, how, told, time.Since(told), online)
}

// over writes a life down.
func (b *board) over(ctx context.Context, how string, ended time.Time, took time.Duration, online bool) {
	if how == judge.Itself {
		ended = time.Now()
	}
	b.unwatch()
	spoke := b.watcher.spoke()
	l := judge.Life{
		Board: b.name, Gateway: b.gateway, N: b.life, Began: b.run.began.UTC(), Ended: ended.UTC(), Took: took, How: how, Code: -1,
		Spoke: spoke, Waited: ended.Sub(b.run.began), Sound: b.sound, Full: b.full, Deaf: b.deaf && !b.tried(), Slot: b.slot, Online: online,
		Window: b.watcher.largestWindow(), Stall: b.testbed.stalls.since(b.run.began),
	}
	if ended.Sub(b.resumed) < pauseCounts { // nobody writes while it stands still
		l.Stall += b.paused
	}
	b.paused = 0
	if b.run.gone() {
		l.Code = b.run.code()
	}
	if how == judge.Itself || !spoke || l.Code > 0 {
		l.Log = strings.ToValidUTF8(b.run.told(), "?")
	}
	b.slot = b.slot || b.sound && spoke
	b.testbed.evidence.note(judge.LivesFile, l)
	b.run, b.watcher = nil, nil
	if how == judge.Itself {
		b.pass(ctx, time.Second)
	}
}

func (w *watcher) spoke() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.heard > 0
}

// pauseCounts is how long before the end of a life a pause still excuses it.
const pauseCounts = 15 * time.Second

// twoSeconds is more readings than any board takes in that time.
const twoSeconds = 120

// online tells whether the cloud has all but the newest, and nothing stands in
// the way of the rest.
func (b *board) online(ctx context.Context) bool {
	st, err := b.ask(ctx)
	return err == nil && st.Uplink.State == "online" && st.Store.Unacked <= twoSeconds && b.untroubled(time.Now())
}

// untroubled tells whether line and cloud were well for 15 s before t, and
// are still.
func (b *board) untroubled(t time.Time) bool {
	up, well := b.line.UpSince(), b.testbed.cloud.wellSince()
	return !up.IsZero() && !well.IsZero() && up.Before(t.Add(-15*time.Second)) && well.Before(t.Add(-15*time.Second))
}

// awaitFirst waits for the first reading of a life, and no longer than d.
func (b *board) awaitFirst(ctx context.Context, d time.Duration) {
	select {
	case <-b.watcher.first:
	case <-b.run.ended:
	case <-ctx.Done():
	case <-time.After(d):
	}
}
