package record

import "iter"

// Which records of a gateway are void: this is the one rule, for the server,
// the ledger, exports and the database.
//
// A record names the one that its writer took for the newest. If that is the
// newest valid record, it is valid too: the Next. If another follows that one
// already, it is Void, and so is all that follows a void record.
//
// A log that lost its newest records goes on from an older one. A reader that
// knew a lost one looks at what stands in the log now: a record is valid if its
// predecessor is still in its place, or was purged, and void if another stands
// there (Displaced).

// A Place names one record of a gateway; the zero place is before the first.
type Place struct {
	Seq uint64 `json:"seq"` // of the log
	ID  string `json:"id"`
}

// Place gives where r stands.
func (r *Record) Place() Place { return Place{r.Seq, r.ID} }

// A Link is how a record stands to the newest valid one before it.
type Link int

// The links.
const (
	Next    Link = iota // it follows that one, or is the first that the reader sees: it is valid
	Void                // it does not, and was written without that one: void as long as the log has that one
	Unknown             // it begins a chain, or follows what the reader has not: of that one, its writer knew nothing
)

// LinkTo tells how r stands to last, the newest valid record that its reader
// has of the gateway.
func (r *Record) LinkTo(last Place) Link {
	switch {
	case last.ID == "" || r.Prev == last.ID:
		return Next
	case r.Prev == "" || r.PrevSeq > last.Seq:
		return Unknown
	}
	return Void
}

// Displaced tells whether r is void because another record stands in the place
// of its predecessor. first is the first record of the gateway that the log has
// from r.PrevSeq on: if that lies behind the place, older ones were purged.
func (r *Record) Displaced(first Place) bool { return first.Seq == r.PrevSeq && first.ID != r.Prev }

// Valid leaves out the void records of a chain as the log has it now. The first
// must be valid.
func Valid(records iter.Seq2[Record, error]) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		var last Place
		for r, err := range records {
			// The log has all of the chain: what follows no valid record in it is void.
			if err == nil && r.LinkTo(last) != Next {
				continue
			}
			last = r.Place()
			if !yield(r, err) {
				return
			}
		}
	}
}
