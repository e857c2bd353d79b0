package block

import "fmt"

// The order column says which channel each reading belongs to, in order of
// seq. Sampling goes round, so a reading's channel is mostly the one that
// followed its predecessor's channel the last time. The guess for the next
// reading is
//
//	the channel that last followed the channel of the reading before it,
//	or, where nothing ever did (and for the first reading), the channel with
//	the lowest index that has not come yet.
//
// Channels are numbered in order of their first reading.
// The column lists where the guess is wrong: how many right ones came since
// the last wrong one, then the channel's index; and so on.
type guesser struct {
	after []int // after[c+1]: what last followed c, -1 nothing; after[0]: follows the beginning
	prev  int   // index into after
	fresh int   // lowest index that has not come yet
}

func (g *guesser) reset() {
	g.after = append(g.after[:0], -1)
	g.prev, g.fresh = 0, 0
}

func (g *guesser) guess() int {
	if c := g.after[g.prev]; c >= 0 {
		return c
	}
	return g.fresh
}

// saw learns that the next reading was of channel c, at most fresh.
func (g *guesser) saw(c int) {
	if c == g.fresh {
		g.fresh++
		g.after = append(g.after, -1)
	}
	g.after[g.prev] = c
	g.prev = c + 1
}

// An orderReader walks through an order column.
type orderReader struct {
	guesser
	wrong []uint64
}

func (o *orderReader) reset(order []uint64) error {
	o.guesser.reset()
	if len(order)%2 != 0 {
		return fmt.Errorf("%w: odd order column", ErrCorrupt)
	}
	o.wrong = order
	return nil
}

// next gives the channel of the next reading. It counts the column down.
func (o *orderReader) next() (int, error) {
	c := uint64(o.guess())
	switch {
	case len(o.wrong) == 0:
	case o.wrong[0] > 0:
		o.wrong[0]--
	default:
		c, o.wrong = o.wrong[1], o.wrong[2:]
	}
	if c > uint64(o.fresh) {
		return 0, fmt.Errorf("%w: channel %d before channel %d", ErrCorrupt, c, o.fresh)
	}
	o.saw(int(c))
	return int(c), nil
}
