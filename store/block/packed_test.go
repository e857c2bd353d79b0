package block_test

import (
	"bytes"
	"errors"
	"math"
	"testing"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/packaging/bench/plant"
	"github.com/fieldgate/fieldgate/store/block"
)

// small gives consecutive blocks of n readings.
func small(t testing.TB, count, n int) [][]byte {
	t.Helper()
	source, enc, e := plant.New(1), block.NewEncoder(), gateway.NewEpochID()
	var all [][]byte
	for i := range count {
		h := gateway.BlockHeader{Range: gateway.Range{Epoch: e, First: uint64(1 + i*n)},
			Anchor: gateway.Anchor{Boot: gateway.BootID(gateway.NewEpochID()), Quality: gateway.ClockNTP, Offset: 1 << 50}}
		b, err := enc.Append(nil, h, source.Append(nil, n))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b)
	}
	return all
}

func TestPackedBlocksComeOutAsTheyWere(t *testing.T) {
	var p block.Packer
	var u block.Unpacker
	enc := block.NewEncoder()
	sum := 0
	for i, b := range append(small(t, 50, 20), small(t, 50, 3)...) {
		packed, loose, err := p.Pack(b)
		if err != nil {
			t.Fatal(err)
		}
		if i%7 == 3 { // made, but never sent: the next is compared to the one before
			continue
		}
		p.Sent(loose)
		got, err := u.Unpack(bytes.Clone(packed), enc)
		if err != nil || !bytes.Equal(got, b) {
			t.Fatalf("block %d: %v, %d bytes, had %d", i, err, len(got), len(b))
		}
		if i > 0 && i < 50 {
			sum += len(packed)
		}
	}
	if mean := sum / 42; mean > 250 {
		t.Errorf("20 readings take %d bytes packed", mean)
	} else {
		t.Logf("20 readings take %d bytes packed", mean)
	}
}

func TestPackedBlocksThatAreNone(t *testing.T) {
	blocks := small(t, 3, 20)
	pack := func(b []byte) []byte {
		var p block.Packer
		packed, _, err := p.Pack(b)
		if err != nil {
			t.Fatal(err)
		}
		return bytes.Clone(packed)
	}
	good := pack(blocks[0])
	flipped := bytes.Clone(good)
	flipped[len(flipped)/2] ^= 4
	enc := block.NewEncoder()
	for name, packed := range map[string][]byte{
		"empty": nil, "cut": good[:len(good)/2], "flipped": flipped, "noise": bytes.Repeat([]byte{0x5a}, 300),
	} {
		var u block.Unpacker
		if _, err := u.Unpack(packed, enc); !errors.Is(err, block.ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
	var p block.Packer
	big := make([]gateway.Reading, 20_000)
	for i := range big {
		big[i] = gateway.Reading{Channel: &gateway.Channel{Device: "d", Quantity: "q"}, Value: math.Sin(float64(i))}
	}
	ch := big[0].Channel
	for i := range big {
		big[i].Channel = ch
	}
	b, err := enc.Append(nil, gateway.BlockHeader{Range: gateway.Range{Epoch: gateway.NewEpochID(), First: 1}}, big)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := p.Pack(b); !errors.Is(err, block.ErrLimit) {
		t.Errorf("a big block: %v", err)
	}
}

func FuzzUnpack(f *testing.F) {
	var p block.Packer
	for _, b := range small(f, 3, 20) {
		packed, _, err := p.Pack(b)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(bytes.Clone(packed))
	}
	enc, dec := block.NewEncoder(), block.NewDecoder()
	f.Fuzz(func(t *testing.T, packed []byte) {
		var u block.Unpacker
		b, err := u.Unpack(packed, enc)
		if err != nil {
			return
		}
		if _, err := block.Parse(b); err != nil {
			t.Fatalf("unpacked into what is no block: %v", err)
		}
		_, _, _ = dec.Decode(b) // an error, but no panic
	})
}
