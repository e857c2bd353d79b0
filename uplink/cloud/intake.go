package cloud

import (
	"fmt"
	"sync"
	"time"

	"github.com/fieldgate/fieldgate/uplink/wire"
)

// The lanes of a gateway, as indices.
const (
	laneEvents = iota
	laneLive
	laneBacklog
	lanes
)

var laneNames = [lanes]string{"event", "live", "backlog"}

// overshoot is how far a gateway may exceed a window before its session ends:
// acks that are on their way to it have moved the window here already.
const overshoot = 2

// An item is an update or an event that waits to be stored.
type item struct {
	m    wire.Message
	raw  []byte // its envelope as it came
	lane int
	came time.Time
}

// An intake is the queue between the goroutine that reads what a gateway sends
// and the one that stores it, in the order of arrival. It is short: the place
// to queue is the gateway's store. An idle session has neither the goroutine
// nor the queue.
type intake struct {
	mu      sync.Mutex
	items   []item
	storing bool               // a goroutine empties the queue
	open    [lanes]wire.Window // what was taken and not answered yet
}

// put queues an item, or gives the *closing for a gateway that sends too much.
// If start is true, the caller must start the storing goroutine.
func (q *intake) put(it item) (start bool, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	open, limit := &q.open[it.lane], windowOf(&wire.DefaultWindows, it.lane)
	open.Msgs++
	open.Bytes += len(it.raw)
	if open.Msgs > overshoot*limit.Msgs || open.Bytes > overshoot*limit.Bytes {
		return false, &closing{wire.CloseTooMuch, fmt.Sprintf("%d %s messages, %d bytes, without an ack", open.Msgs,
			laneNames[it.lane], open.Bytes)}
	}
	q.items = append(q.items, it)
	start = !q.storing
	q.storing = true
	return start, nil
}

// next gives the oldest item, false if none waits.
func (q *intake) next() (item, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.items) == 0 {
		return item{}, false
	}
	it := q.items[0]
	q.items[0] = item{}
	q.items = q.items[1:]
	return it, true
}

// rest ends the storing goroutine's work, unless something came meanwhile.
func (q *intake) rest() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.items) > 0 {
		return false
	}
	q.items = nil // its array was for a busy time
	q.storing = false
	return true
}

// answered makes room for what has an answer.
func (q *intake) answered(lane int, w wire.Window) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.open[lane].Msgs -= w.Msgs
	q.open[lane].Bytes -= w.Bytes
}

func windowOf(w *wire.Windows, lane int) wire.Window {
	return [lanes]wire.Window{w.Ev, w.Live, w.Back}[lane]
}
