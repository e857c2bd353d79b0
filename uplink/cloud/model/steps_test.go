package model

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink"
)

const (
	remembered = 4 // copies of the log and of the card that are kept
	wholeLine  = 200_000
)

// A step is one thing that happens. It reports false if it cannot happen now.
type step struct {
	name   string
	weight int
	do     func(*testbed) bool
}

var fill = step{"fill", 1, (*testbed).fill}

var steps = []step{
	{"append", 30, func(w *testbed) bool { w.any().append(1 + w.r.IntN(w.lot())); return true }},
	{"wait", 12, func(w *testbed) bool { w.pass(w.upTo(20 * time.Second)); return true }},
	{"wait long", 4, func(w *testbed) bool { w.pass(w.upTo(25 * time.Minute)); return true }},
	{"power cut", 5, (*testbed).powerCut},
	{"reopen", 2, func(w *testbed) bool { w.any().reboot(); return true }},
	{"image", 3, (*testbed).image},
	{"restore image", 3, (*testbed).restore},
	{"clone", 2, (*testbed).clone},
	{"end of clone", 2, (*testbed).endClone},
	{"split", 3, func(w *testbed) bool { _, err := w.any().store.Split(); w.must(err); return true }},
	{"drop", 2, (*testbed).drop},
	fill,
	{"wake", 5, func(w *testbed) bool { w.any().up.Wake(); return true }},
	{"cut", 3, func(w *testbed) bool { w.net.Cut(); return true }},
	{"cut in a frame", 3, func(w *testbed) bool { w.net.CutAfter(1 + w.r.IntN(wholeLine)); return true }},
	{"whole line", 3, func(w *testbed) bool { w.net.CutAfter(0); return true }},
	{"stall", 3, func(w *testbed) bool { w.net.Stall(); return true }},
	{"resume", 3, func(w *testbed) bool { w.net.Resume(); return true }},
	{"move", 3, (*testbed).move},
	{"restart server", 2, func(w *testbed) bool { w.restart(w.server()); return true }},
	{"kill server", 3, func(w *testbed) bool { w.kill(w.server()); return true }},
	{"remember log", 6, func(w *testbed) bool { w.logs = remember(w.logs, w.look(w.logDir)); return true }},
	{"crash log", 2, func(w *testbed) bool { w.loseLog(nil, w.r.IntN(2) == 0); return true }},
	{"restore log", 3, (*testbed).restoreLog},
	{"lose log", 1, (*testbed).loseAll},
	{"lose tail", 4, (*testbed).loseTail},
	{"lose minutes", 2, (*testbed).loseMinutes},
}

func (w *testbed) any() *board     { return w.boards[w.r.IntN(len(w.boards))] }
func (w *testbed) server() *server { return w.servers[w.r.IntN(len(w.servers))] }

func (w *testbed) upTo(d time.Duration) time.Duration { return time.Duration(w.r.Int64N(int64(d))) }

// lot is how many readings come at once, at most.
func (w *testbed) lot() int {
	if w.small {
		return 30_000
	}
	return 400
}

func remember[T any](all []T, one T) []T {
	all = append(all, one)
	return all[max(0, len(all)-remembered):]
}

// take does one step at random.
func (w *testbed) take() {
	total := 0
	for _, s := range steps {
		total += s.weight
	}
	for {
		n := w.r.IntN(total)
		i := slices.IndexFunc(steps, func(s step) bool { n -= s.weight; return n < 0 })
		if w.do(steps[i]) {
			return
		}
	}
}

func (w *testbed) do(s step) bool {
	if !s.do(w) {
		return false
	}
	w.story = append(w.story, s.name)
	w.drawn[s.name]++
	return true
}

func (w *testbed) powerCut() bool {
	b := w.any()
	card := b.cut()
	b.insert(card)
	return true
}

func (w *testbed) image() bool {
	im := w.boards[0].image()
	if w.boards[0].card.fallen() != nil {
		return false
	}
	w.images = remember(w.images, im)
	return true
}

// restore lets the original go on with an older copy of its card.
func (w *testbed) restore() bool {
	if len(w.images) == 0 {
		return false
	}
	im := w.images[w.r.IntN(len(w.images))]
	b := w.boards[0]
	b.append(1 + w.r.IntN(burst)) // of which the cloud has heard at most in part
	b.cut()
	w.ledger.after(im, func(p *page) { p.rolled = true })
	b.insert(im.dir)
	return true
}

// clone runs a copy of the card, as it is or as it was, beside the original.
func (w *testbed) clone() bool {
	if len(w.boards) > 1 {
		return false
	}
	im := w.boards[0].image()
	if w.boards[0].card.fallen() != nil {
		return false
	}
	if len(w.images) > 0 && w.r.IntN(2) == 0 {
		im = w.images[w.r.IntN(len(w.images))]
	}
	dir := w.folder()
	w.must(im.dir.Write(dir))
	w.pass(uptime)
	w.ledger.after(im, func(p *page) { p.copied = true })
	w.boards = append(w.boards, w.newBoard(dir))
	if w.r.IntN(2) == 0 { // time to take over from each other until the cloud has enough of it
		w.mendLine()
		w.pass(10 * time.Minute)
	}
	return true
}

// endClone takes the copy from the network once it has told what it has, alone:
// two of them would fight for the line.
func (w *testbed) endClone() bool {
	if len(w.boards) < 2 {
		return false
	}
	w.mend()
	stay := w.boards[0].store.Epochs()
	w.boards[0].stop()
	w.heal(w.boards[1])
	for _, e := range w.boards[1].store.Epochs() {
		w.ledger.of(e.ID).gone = !slices.ContainsFunc(stay, func(s gateway.EpochState) bool { return s.ID == e.ID })
	}
	w.boards[1].stop()
	w.boards = w.boards[:1]
	w.boards[0].boot()
	return true
}

// drop gives up old readings of a board, also such as the cloud has not got.
func (w *testbed) drop() bool {
	b := w.any()
	w.net.Stall()
	b.append(1 + w.r.IntN(w.lot()))
	w.pass(w.upTo(20 * time.Second))
	w.ledger.dropped()
	_, err := b.store.DropBefore(time.Now().Add(-w.upTo(10 * time.Second)))
	w.must(err)
	w.net.Cut()
	return true
}

// fill brings more than a small card takes while nobody listens.
func (w *testbed) fill() bool {
	if !w.small {
		return false
	}
	w.refuse(true)
	w.net.Cut()
	w.any().append(20 * w.lot())
	w.refuse(false)
	return true
}

// move has the gateway connect to the other server.
func (w *testbed) move() bool {
	w.net.Refuse(w.servers[0].at+":443", w.r.IntN(2) == 0)
	w.net.Cut()
	w.any().up.Wake()
	return true
}

// patience is how much virtual time a gateway gets to bring all that it has to
// a cloud that is well: it may have been told to stay away for an hour.
const patience = 12 * time.Hour

// heal mends everything and lets a board drain. If that comes to no end, it
// notes so.
func (w *testbed) heal(b *board) {
	w.mend()
	w.log.setSick(0)
	w.mendLine()
	w.pass(time.Second) // the line is down now: what is online later has heard the cloud's present word
	within := patience
	if b := w.log.ruleOff; b != nil {
		within = cmp.Or(b.patience, time.Minute)
	}
	for end := time.Now().Add(within); b.up.Status().State != uplink.Online || !b.drained(); w.pass(10 * time.Second) {
		if time.Now().After(end) {
			w.stuck = append(w.stuck, fmt.Sprintf("after %v the cloud has not all; status %+v, conditions %+v, epochs %+v",
				within, b.up.Status(), b.table.List(), b.store.Epochs()))
			return
		}
		b.up.Wake()
	}
}

func (w *testbed) mendLine() {
	w.refuse(false)
	w.net.CutAfter(0)
	w.net.Cut()
}

func (w *testbed) refuse(on bool) {
	for _, s := range w.servers {
		w.net.Refuse(s.at+":443", on)
	}
}

// known are the epochs that a card still knows.
func (w *testbed) known() map[gateway.EpochID]bool {
	ids := map[gateway.EpochID]bool{}
	for _, b := range w.boards {
		for _, e := range b.store.Epochs() {
			ids[e.ID] = true
		}
	}
	return ids
}
