package cloud_test

import (
	"testing"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/store/block"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// The log holds blocks that decode alone, whatever they were packed with; one
// that cannot be unpacked ends the session.
func TestPackedBlocks(t *testing.T) {
	s := newSite(t, nil)
	e := gateway.NewEpochID()
	p, w := s.open(e)
	if len(w.Caps) != 1 || w.Caps[0] != "packed" {
		t.Errorf("caps %v", w.Caps)
	}
	var packer block.Packer
	for first := uint64(1); first <= 100; first += 20 {
		u := readings(t, e, first, 20, 20)
		packed, loose, err := packer.Pack(u.Blocks[0])
		if err != nil {
			t.Fatal(err)
		}
		packer.Sent(loose)
		u.Blocks, u.Packed = nil, packed
		if a := p.acked(u); a.Upto != first+19 {
			t.Fatalf("acked up to %d", a.Upto)
		}
	}
	s.wantSeqs(e, 100)
	p.send(&wire.Update{Lane: wire.LaneLive, Epoch: e, First: 101, N: 20, Packed: []byte("no block at all")})
	if code := p.closed(); code != wire.CloseUndecodable {
		t.Errorf("closed with %d", code)
	}
	p, _ = s.open(e)
	if a := p.acked(readings(t, e, 101, 20, 20)); a.Upto != 120 {
		t.Errorf("acked up to %d", a.Upto)
	}
}
