package drivers

import (
	"context"
	"fmt"
	"time"

	"periph.io/x/conn/v3"
	"periph.io/x/conn/v3/i2c"
)

// Transfer does one transfer with a chip: w is written, then r is filled. It
// does not begin once ctx is done, and an answer that came after ctx was done
// is an error: nobody can cut a transfer short, so it may have waited long.
//
// On I2C, dev is an *i2c.Dev. On SPI, dev is Target.SPI, and w and r pass at the
// same time: they have one length. A visit that allocates nothing keeps dev, w
// and r in the sensor.
func Transfer(ctx context.Context, dev conn.Conn, w, r []byte) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("transfer with %s: %w", where(dev), err)
	}
	if err := dev.Tx(w, r); err != nil {
		return fmt.Errorf("transfer with %s: %w", where(dev), err)
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("late answer from %s: %w", where(dev), err)
	}
	return nil
}

func where(dev conn.Conn) string {
	if d, ok := dev.(*i2c.Dev); ok {
		return fmt.Sprintf("0x%02x on %s", d.Addr, d.Bus)
	}
	return dev.String()
}

// Pause waits for a chip. It ends early, with an error, when ctx is done.
func Pause(ctx context.Context, d time.Duration) error { return new(Pauser).Pause(ctx, d) }

// A Pauser is Pause for a visit that waits in its middle: kept in the sensor,
// it allocates once. For one goroutine.
type Pauser struct{ timer *time.Timer }

// Pause waits for a chip. It ends early, with an error, when ctx is done.
func (p *Pauser) Pause(ctx context.Context, d time.Duration) error {
	if p.timer == nil {
		p.timer = time.NewTimer(d)
	} else {
		p.timer.Reset(d)
	}
	defer p.timer.Stop()
	select {
	case <-p.timer.C:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for the chip: %w", ctx.Err())
	}
}

// A Sequencer is a bus that can be held over several transfers.
type Sequencer interface {
	// Sequence runs f while nobody else can use the bus. f uses held only,
	// and held only until it returns.
	Sequence(f func(held i2c.Bus) error) error
}

// Sequence runs f with the bus held, so that no other driver's transfer falls
// between those of f. A bus that cannot be held is used as it is.
func Sequence(bus i2c.Bus, f func(held i2c.Bus) error) error {
	if s, ok := bus.(Sequencer); ok {
		return s.Sequence(f)
	}
	return f(bus)
}

// Names gives the names of the quantities; nil if they are only known when the
// device is open.
func (d Driver) Names() []string {
	var all []string
	for _, q := range d.Quantities {
		all = append(all, q.Name)
	}
	return all
}

// Most is how many quantities a visit can give.
func (d Driver) Most() int { return max(d.MostQuantities, len(d.Quantities)) }

// Defaults gives every option of the table with its example, or its default
// where there is none, as Open wants them in Target.Options.
func (d Driver) Defaults() map[string]any {
	all := make(map[string]any, len(d.Options))
	for _, o := range d.Options {
		all[o.Name] = o.Default
		if o.Example != nil {
			all[o.Name] = o.Example
		}
	}
	return all
}
