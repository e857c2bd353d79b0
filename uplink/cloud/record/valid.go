package record

import "iter"

// Valid leaves out the void records of a chain: those whose predecessor is not
// the valid one before them. The first must be valid.
func Valid(records iter.Seq2[Record, error]) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		last, begun := "", false
		for r, err := range records {
			if err == nil && begun && r.Prev != last {
				continue
			}
			last, begun = r.ID, true
			if !yield(r, err) {
				return
			}
		}
	}
}
