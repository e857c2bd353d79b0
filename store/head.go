package store

import (
	"time"

	"github.com/fieldgate/fieldgate/gateway"
)

const (
	headMin = 1024    // readings the head has room for at first
	headMax = 1 << 17 // readings it keeps at most while the card takes none: 5 MiB
)

// waiting is a reading in the head and when it came, since the store's start.
type waiting struct {
	gateway.Reading
	came time.Duration
}

// A head is the newest readings of an epoch, which are not on the card yet: a
// ring that grows to headMax and then drops the oldest. Its first starts at 1.
type head struct {
	ring  []waiting // its length is a power of two
	first uint64    // seq of the oldest kept; last+1 if there is none
	last  uint64    // seq of the newest ever pushed
	// the span of the stamps that were dropped since the last commit
	dropped0, dropped1 gateway.Stamp
}

func (h *head) len() int { return int(h.last + 1 - h.first) }

// get gives the reading seq, which must be held.
func (h *head) get(seq uint64) *waiting { return &h.ring[seq&uint64(len(h.ring)-1)] }

func (h *head) push(r gateway.Reading, came time.Duration) (dropped bool) {
	if h.len() == len(h.ring) {
		dropped = h.makeRoom()
	}
	h.last++
	*h.get(h.last) = waiting{r, came}
	return dropped
}

func (h *head) makeRoom() (dropped bool) {
	if len(h.ring) < headMax {
		old := *h
		h.ring = make([]waiting, max(headMin, 2*len(old.ring)))
		for seq := h.first; seq <= h.last; seq++ {
			*h.get(seq) = *old.get(seq)
		}
		return false
	}
	at := h.get(h.first).At
	if h.dropped1 == 0 {
		h.dropped0 = at
	}
	h.dropped0, h.dropped1 = min(h.dropped0, at), max(h.dropped1, at)
	h.first++
	return true
}

// copy appends the readings from seq on, at most n, to dst.
func (h *head) copy(dst []gateway.Reading, seq uint64, n int) []gateway.Reading {
	for ; seq <= h.last && n > 0; n-- {
		dst = append(dst, h.get(seq).Reading)
		seq++
	}
	return dst
}

// forget drops what is on the card now.
func (h *head) forget(upto uint64) {
	h.first = max(h.first, upto+1)
	if h.len() == 0 && len(h.ring) == headMax {
		h.ring = nil // grown while the card was failing
	}
	if h.first == upto+1 {
		h.dropped0, h.dropped1 = 0, 0
	} // else more were dropped meanwhile: their gap is told with the whole span
}
