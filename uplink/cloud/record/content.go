package record

import (
	"errors"
	"fmt"
	"iter"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/store/block"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// ErrUndecodable marks a record whose body is not what a server stores.
var ErrUndecodable = errors.New("the record cannot be decoded")

// A Content is what a record holds: an update or an event.
type Content struct {
	First  uint64 // readings below it are in an earlier record
	Update *wire.Update
	Event  *wire.Event
}

// Content reads the body of a record that is none of KindOpen. The error is
// ErrUndecodable; the content is then empty.
func (r *Record) Content() (Content, error) {
	c := Content{First: r.First}
	m, err := wire.Decode(r.Body)
	if err != nil {
		return c, fmt.Errorf("%w: %w", ErrUndecodable, err)
	}
	switch m := m.(type) {
	case *wire.Update:
		c.Update = m
	case *wire.Event:
		c.Event = m
	default:
		return c, fmt.Errorf("%w: it holds a %T", ErrUndecodable, m)
	}
	return c, nil
}

// A Block is a block of which a record brings readings.
type Block struct {
	gateway.BlockHeader
	From uint64 // seq of the first reading that is of this record
	raw  []byte
}

// Blocks gives the blocks of an update that hold readings of this record. One
// whose header cannot be read is an error; those behind it come all the same.
func (c Content) Blocks() iter.Seq2[Block, error] {
	return func(yield func(Block, error) bool) {
		for i, raw := range c.Update.Blocks {
			h, err := block.Parse(raw)
			if err != nil {
				err = fmt.Errorf("block %d: %w: %w", i, ErrUndecodable, err)
			} else if h.Last() < c.First {
				continue
			}
			if !yield(Block{h, max(h.First, c.First), raw}, err) {
				return
			}
		}
	}
}

// Readings decodes the readings of this record: the first has the seq From. They
// are valid until d is used again. The error is ErrUndecodable.
func (b *Block) Readings(d *block.Decoder) ([]gateway.Reading, error) {
	_, rs, err := d.Decode(b.raw)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUndecodable, err)
	}
	return rs[min(b.From-b.First, uint64(len(rs))):], nil
}

// Thinned gives the header of the thinned block of an update that has one. The
// error is ErrUndecodable.
func (c Content) Thinned() (gateway.BlockHeader, error) {
	h, err := block.Parse(c.Update.Thinned)
	if err != nil {
		return h, fmt.Errorf("%w: %w", ErrUndecodable, err)
	}
	return h, nil
}

// Summaries decodes what is left of the readings for which a thinned block
// stands. The error is ErrUndecodable.
func (c Content) Summaries(d *block.Decoder) (gateway.BlockHeader, []gateway.Summary, error) {
	h, sums, err := d.Summaries(c.Update.Thinned)
	if err != nil {
		return h, nil, fmt.Errorf("%w: %w", ErrUndecodable, err)
	}
	return h, sums, nil
}
