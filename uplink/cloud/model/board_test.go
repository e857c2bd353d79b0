package model

import (
	"context"
	"crypto/x509"
	"math"
	"slices"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/clock"
	"github.com/fieldgate/fieldgate/gateway/health"
	"github.com/fieldgate/fieldgate/store"
	"github.com/fieldgate/fieldgate/store/storetest"
	"github.com/fieldgate/fieldgate/uplink"
	"github.com/fieldgate/fieldgate/uplink/uplinktest"
)

// How fast readings come: on a small card in large lots, to fill it.
const (
	rate, burst           = 200.0, 50
	smallRate, smallBurst = 1e6, 5000
	smallCard             = 4 << 20
)

// uptime is how long a board is up when its gateway starts: clock.NewFake.
const uptime = time.Minute + time.Second

// A board is a gateway that runs on a card.
type board struct {
	w     *testbed
	dir   string // the card
	clock *clock.Fake
	card  *card
	store *store.Store
	table *health.Table
	up    *uplink.Uplink

	unplug func() // ends the uplink
	halt   func() // ends the store's own goroutine
	off    bool

	alarmed bool // the cloud has told it that two boards use its identity
}

// An image is a copy of a card, and which epochs had ended on it.
type image struct {
	dir   storetest.Dir
	ended map[gateway.EpochID]bool
}

func (w *testbed) newBoard(dir string) *board {
	b := &board{w: w, dir: dir, card: newCard(w)}
	b.boot()
	return b
}

// boot starts a board: another boot id, and on the card a new epoch.
func (b *board) boot() {
	w := b.w
	b.clock, b.table = clock.NewFake(w.drawBoot()), health.New(quiet)
	if w.r.IntN(4) > 0 {
		b.clock.Set(time.Now(), gateway.ClockNTP, time.Second)
	}
	b.card.rec.Root = b.dir
	o := store.Options{
		Dir: b.dir, Card: b.card, FlushInterval: 5 * time.Second, HistoryFlush: 10 * time.Minute, Rate: rate, Burst: burst,
		Clock: b.clock, Conditions: b.table, Log: quiet,
	}
	if w.small {
		o.MaxSize, o.ThinInterval, o.Rate, o.Burst = smallCard, time.Second, smallRate, smallBurst
	}
	var err error
	b.store, err = store.Open(o)
	w.must(err)
	source := newSource(b.store, w)
	b.up, err = uplink.New(uplink.Options{
		Route: uplink.Route{
			URL: "wss://cloud-0.test/v1/gateway", URLs: []string{"wss://cloud-1.test/v1/gateway"},
			Authorities: func() (*x509.CertPool, error) { return w.ca.Pool, nil }, Dial: b.card.Dial,
			JSON: w.r.IntN(4) == 0,
		},
		Identity: uplink.Identity{
			GatewayID: gatewayID, InstallID: b.store.InstallID(), Software: "fieldgate/model",
			Credential: uplinktest.Token(func() (string, error) { return w.token, nil }),
		},
		Store: uplink.Store{Source: source}, Time: uplink.Time{Clock: b.clock},
		Conditions: b.table, Log: quiet,
	})
	w.must(err)
	w.ledger.inserted(b.store.Epochs())
	b.halt, b.unplug = launch(b.store.Run), launch(b.up.Run)
	b.off = false
}

// launch runs a part and gives what ends it and waits.
func launch(run func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = run(ctx) // both end without an error
	}()
	return func() { cancel(); <-ended }
}

// stop ends a board in good order.
func (b *board) stop() {
	if b.off {
		return
	}
	b.off = true
	b.unplug()
	b.halt()
	b.w.must(b.store.Close())
}

// reboot stops a board in good order, unless its power fails meanwhile.
func (b *board) reboot() {
	b.stop()
	if b.card.fallen() != nil {
		b.insert(b.cut())
		return
	}
	b.boot()
}

// cut takes the power away: what counts afterwards is the card as it is now.
func (b *board) cut() storetest.Dir {
	card := b.w.look(b.dir)
	if fell := b.card.fallen(); fell != nil {
		b.w.seen.add(cutInStep, 1)
		card = fell
	}
	b.w.net.Cut()
	b.stop() // onto a card that nobody looks at any more
	b.card.mended()
	b.dir = b.w.folder()
	return card
}

// insert boots the board with a card.
func (b *board) insert(card storetest.Dir) {
	b.w.must(card.Write(b.dir))
	b.w.pass(uptime)
	b.boot()
}

// image copies the card of a running board.
func (b *board) image() image {
	im := image{b.w.look(b.dir), map[gateway.EpochID]bool{}}
	for _, e := range b.store.Epochs() {
		im.ended[e.ID] = e.Growth != gateway.Growing
	}
	return im
}

var channel = &gateway.Channel{Device: "d", Quantity: "q", Unit: "V"}

// append adds readings as fast as they may come.
func (b *board) append(n int) {
	most, pause := burst, time.Duration(burst/rate*float64(time.Second))
	if b.w.small {
		most, pause = smallBurst, 5*time.Second
	}
	for n > 0 {
		if b.w.pass(pause); b.card.fallen() != nil {
			return
		}
		k := min(n, most)
		now, rs := b.clock.Stamp(), make([]gateway.Reading, k)
		for i := range rs {
			b.w.last++
			at := now.Add(-pause / time.Duration(k) * time.Duration(k-1-i))
			rs[i] = gateway.Reading{Channel: channel, Value: math.Sqrt(b.w.last), At: at} // of digits that do not pack
		}
		name, err := b.store.Append(rs)
		b.w.must(err)
		b.w.ledger.append(name, rs)
		n -= k
	}
}

// drained tells whether the cloud has said that it holds all there is.
func (b *board) drained() bool {
	return !slices.ContainsFunc(b.store.Epochs(), func(e gateway.EpochState) bool {
		return e.Acked < e.Last || e.Growth != gateway.Growing && !e.Done
	})
}
