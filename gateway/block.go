package gateway

// A BlockHeader is what stands in the clear beside a block's compressed
// columns, readable without decoding them.
type BlockHeader struct {
	Range         // epoch, first seq, count (at most 65,536)
	Anchor Anchor // boot id, and the best anchor of that boot known when the block was encoded
	T0, T1 Stamp  // earliest and latest stamp in the block

	// Thinned: the block holds summaries in place of its readings. The names
	// of the range are accounted for, their single values are gone.
	Thinned bool
}

// A Why says why readings will never come.
type Why string

// The reasons a gap can have.
const (
	WhyUncleanStop       Why = "unclean_stop"        // power cut or crash before the last readings reached the card
	WhyForgottenAfterAck Why = "forgotten_after_ack" // the cloud had acknowledged them, then lost them; the gateway no longer has them
	WhyCardFailed        Why = "card_failed"         // dropped from RAM while the card took no writes
	WhyDropped           Why = "dropped"             // given up because the store was full, before the cloud had them
	WhyRejected          Why = "rejected"            // the cloud refused the reading itself
	WhyUnknown           Why = "unknown"             // found missing by the audit
)

// A Gap stands in the place of readings that will never come: the range it
// stands for is known, the values are lost.
type Gap struct {
	Why    Why
	T0, T1 Stamp  // the readings were taken in this span of …
	Anchor Anchor // … this boot
}

// AtMostUnknown stands for a number of readings that nothing bounds.
const AtMostUnknown = 1<<63 - 1

// An End says how an epoch ended. Closed: orderly, with its last seq. Not
// closed: by an open gap, at most AtMost readings of which were taken between
// T0 and T1 and never reached the card. AtMost is never too small; where
// nothing bounds it, it is AtMostUnknown.
type End struct {
	Closed bool
	Last   uint64 // seq of the last reading when Closed
	Why    Why    // when not Closed, like the rest
	AtMost uint64
	T0, T1 Stamp
	Anchor Anchor
}

// A Block is what the store hands to the uplink: consecutive readings of one
// epoch as they are encoded on the card, or the gap that stands in their
// place, or the end of the epoch. Exactly one of Data, Gap and End is set;
// with End, N is 0 and First is one above the last reading or gap. Thinned
// readings come whole: their First may lie before what was asked for.
type Block struct {
	Range
	Data    []byte // an encoded block; shared, never to be written to
	Thinned bool   // Data holds summaries in place of readings
	Gap     *Gap
	End     *End
}

// EpochGrowth says whether an epoch can still get readings.
type EpochGrowth uint8

// The states of growth, numbered as in hello.
const (
	Growing   EpochGrowth = iota // this opening writes it
	Closed                       // ended orderly at Last
	OpenEnded                    // ended by a power cut or crash, somewhere after Last
)

// An EpochState is what the store knows of one epoch.
type EpochState struct {
	ID     EpochID
	Boot   BootID
	Oldest uint64 // first seq still held; Last+1 if none
	Last   uint64 // last seq appended; 0 if none
	Growth EpochGrowth
	Acked  uint64 // the cloud holds everything up to here; may exceed Last of an OpenEnded epoch
	Done   bool   // the cloud has its end too
}
