package sim

import (
	"fmt"
	"io"
	"time"

	"github.com/fieldgate/fieldgate/drivers"
)

// A Fault is what befalls transfers with one address. The zero Fault is none.
type Fault struct {
	After     int            // so many transfers pass first
	Times     int            // then so many are struck; 0 means until Mend
	Delay     time.Duration  // a slow answer: the bus is busy for so long before anything else happens
	Err       error          // instead of an answer: ErrNACK, ErrTimeout, …
	Applied   bool           // … but the chip took the transfer
	Short     bool           // only half of the answer arrives, with an error
	PowerLoss bool           // the power of the chip failed for a moment, before the transfer
	Garble    func(r []byte) // changes the answer on its way, and nobody notices: FlipBit, OnesFrom
}

// harmless says whether the answer is the chip's own.
func (f *Fault) harmless() bool { return f.Err == nil && !f.Short && f.Garble == nil }

// spoil does a transfer with a chip, and what the fault does to it.
func (f *Fault) spoil(chip drivers.Chip, w, r []byte) error {
	whole := make([]byte, len(r))
	if err := chip.Tx(w, whole); err != nil {
		return err
	}
	switch {
	case f.Err != nil:
		return f.Err
	case f.Short:
		half := copy(r[:len(r)/2], whole)
		return fmt.Errorf("%d of %d bytes: %w", half, len(r), io.ErrUnexpectedEOF)
	}
	if len(whole) > 0 {
		f.Garble(whole)
	}
	copy(r, whole)
	return nil
}

// FlipBit garbles one bit of an answer, counted from the first that is sent;
// beyond the last bit it counts on from the first.
func FlipBit(n int) func(r []byte) {
	return func(r []byte) { r[n/8%len(r)] ^= 0x80 >> (n % 8) }
}

// OnesFrom garbles all bytes of an answer from the nth on: the chip let go of
// the wire in the middle of it. Beyond the last byte it is the last one.
func OnesFrom(n int) func(r []byte) {
	return func(r []byte) {
		for i := min(n, len(r)-1); i < len(r); i++ {
			r[i] = 0xff
		}
	}
}

// An Event is a fault that begins at a moment of the script's clock, and ends.
type Event struct {
	At, For time.Duration
	Addr    uint16
	Fault   Fault // After and Times count from the beginning of the script
}

// Play makes the bus suffer what a script says, besides what Inject says. The
// first event that fits a transfer counts.
func (b *Bus) Play(clock drivers.Clock, script ...Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.clock, b.script = clock, script
}

// Inject makes transfers with addr fail as f says, instead of what an earlier
// Inject said.
func (b *Bus) Inject(addr uint16, f Fault) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.faults[addr] = &f
}

// Mend ends what Inject began.
func (b *Bus) Mend(addr uint16) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.faults, addr)
}

// strike gives the fault that befalls this transfer, if any. Each call counts
// as one transfer.
func (b *Bus) strike(addr uint16) Fault {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.hung {
		return Fault{Delay: hangs, Err: ErrTimeout}
	}
	if f := b.faults[addr]; f != nil {
		hit, over := f.next()
		if over {
			delete(b.faults, addr)
		}
		if hit {
			return *f
		}
	}
	if len(b.script) == 0 {
		return Fault{}
	}
	now := b.clock()
	for i := range b.script {
		e := &b.script[i]
		if e.Addr != addr || now < e.At || now >= e.At+e.For || e.Fault.Times < 0 {
			continue
		}
		hit, over := e.Fault.next()
		f := e.Fault
		if over {
			e.Fault.Times = -1
		}
		if hit {
			return f
		}
	}
	return Fault{}
}

// next counts a transfer, and says whether it is struck and whether it is the
// last one.
func (f *Fault) next() (hit, over bool) {
	if f.After > 0 {
		f.After--
		return false, false
	}
	if f.Times > 0 {
		f.Times--
		return true, f.Times == 0
	}
	return true, false
}
