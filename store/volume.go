package store

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/bbolt"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/store/block"
)

// bucketBlocks holds, under epoch ordinal and first seq (8 bytes each), blocks
// and, as JSON, the gaps that stand between them.
var bucketBlocks = []byte("blocks")

// A volume is one file of the log.
type volume struct {
	number uint64
	path   string

	// set by the writer, and at the opening
	bytes  int64               // that the file takes on the card
	blocks int64               // bytes put into it by this process
	made   time.Duration       // since the store's start
	oldest gateway.BlockHeader // of its first block
	newest gateway.BlockHeader // of its last block, for its age

	thinned bool // its blocks hold summaries: it is downsampled
	final   bool // to rewrite it is of no use

	// guarded by shelf.mu
	db       *bbolt.DB
	writable bool
	used     uint64
}

// A record is what a volume holds under one key: a block, or a gap's JSON.
type record struct {
	ordinal             uint64
	gateway.BlockHeader             // of a gap: range, anchor and times alone
	gap                 gateway.Why // "" for a block
	value               []byte
}

// gapRecord is a gap in a volume.
type gapRecord struct {
	N uint64 `json:"n"`
	gateway.Gap
}

func (r *record) key() []byte { return blockKey(r.ordinal, r.First) }

func blockKey(ordinal, first uint64) []byte {
	b := make([]byte, 16)
	binary.BigEndian.PutUint64(b, ordinal)
	binary.BigEndian.PutUint64(b[8:], first)
	return b
}

func splitKey(k []byte) (ordinal, first uint64, err error) {
	if len(k) != 16 {
		return 0, 0, fmt.Errorf("%w: key of %d bytes", errDamaged, len(k))
	}
	return binary.BigEndian.Uint64(k), binary.BigEndian.Uint64(k[8:]), nil
}

// newGap makes the record of a gap.
func newGap(ordinal uint64, r gateway.Range, g gateway.Gap) (record, error) {
	value, err := json.Marshal(gapRecord{N: r.N, Gap: g})
	if err != nil {
		return record{}, fmt.Errorf("encode gap: %w", err)
	}
	h := gateway.BlockHeader{Range: r, Anchor: g.Anchor, T0: g.T0, T1: g.T1}
	return record{ordinal: ordinal, BlockHeader: h, gap: g.Why, value: value}, nil
}

// parseRecord reads the header of what stands under a key and checks a
// block's checksum. The record's value is that given.
func parseRecord(key, value []byte) (record, error) {
	ordinal, first, err := splitKey(key)
	if err != nil {
		return record{}, err
	}
	r := record{ordinal: ordinal, value: value}
	if len(value) > 0 && value[0] == '{' {
		var g gapRecord
		err = json.Unmarshal(value, &g)
		r.First, r.N, r.gap = first, g.N, g.Why
		r.Anchor, r.T0, r.T1 = g.Anchor, g.T0, g.T1
	} else {
		r.BlockHeader, err = block.Parse(value)
	}
	if err != nil {
		return r, fmt.Errorf("%w: %w", errDamaged, err)
	}
	if r.First != first || r.N == 0 {
		return r, fmt.Errorf("%w: block %d under the key of %d", errDamaged, r.First, first)
	}
	return r, nil
}

// A run is an epoch's readings in one volume.
type run struct {
	ordinal     uint64
	id          gateway.EpochID // zero if all that was found of the epoch are gaps
	first, last uint64
	oldest      gateway.BlockHeader // of the first of them
	newest      gateway.BlockHeader // of the last of them
	damaged     bool                // behind last stands a block that cannot be read
}

// contents walks along the epochs of a volume, not along its blocks.
func contents(b *bbolt.Bucket) ([]run, error) {
	if b == nil {
		return nil, fmt.Errorf("%w: no bucket of blocks", errDamaged)
	}
	var all []run
	c := b.Cursor()
	for k, _ := c.First(); k != nil; {
		ordinal, first, err := splitKey(k)
		if err != nil {
			return nil, err
		}
		h, err := lastOfRun(c, run{ordinal: ordinal, first: first})
		if _, v := c.Seek(k); err == nil {
			if r, err := parseRecord(k, v); err == nil {
				h.oldest = r.BlockHeader
			}
		}
		if err != nil {
			return nil, err
		}
		all = append(all, h)
		if k, _ = c.Seek(blockKey(ordinal+1, 0)); k != nil && bytes.Compare(k, blockKey(ordinal+1, 0)) < 0 {
			return nil, fmt.Errorf("%w: keys out of order", errDamaged)
		}
	}
	return all, nil
}

// lastOfRun finds the last readable block of an epoch.
func lastOfRun(c *bbolt.Cursor, h run) (run, error) {
	k, v := c.Seek(blockKey(h.ordinal+1, 0))
	if k == nil {
		k, v = c.Last()
	} else {
		k, v = c.Prev()
	}
	for ; k != nil; k, v = c.Prev() {
		ordinal, _, err := splitKey(k)
		if err != nil {
			return h, err
		}
		if ordinal != h.ordinal {
			break
		}
		r, err := parseRecord(k, v)
		if errors.Is(err, block.ErrVersion) {
			return h, err
		}
		if err != nil {
			h.damaged = true
			continue
		}
		h.last, h.newest, h.id = r.Last(), r.BlockHeader, r.Epoch
		return h, nil
	}
	h.last, h.damaged = h.first-1, true
	return h, nil
}

// lookup finds what covers seq. The record's value is a copy. The error is
// errDamaged also if nothing covers seq.
func lookup(b *bbolt.Bucket, ordinal, seq uint64) (record, error) {
	c := b.Cursor()
	k, v := c.Seek(blockKey(ordinal, seq+1)) // what lies behind
	if k == nil {
		k, v = c.Last()
	} else {
		k, v = c.Prev()
	}
	r, err := parseRecord(k, v)
	if err != nil {
		return record{}, err
	}
	if r.ordinal != ordinal || r.Last() < seq {
		return record{}, fmt.Errorf("%w: nothing stands at %d", errDamaged, seq)
	}
	r.value = append([]byte(nil), r.value...)
	return r, nil
}
