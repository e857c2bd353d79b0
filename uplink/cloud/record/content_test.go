package record

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/store/block"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// An update that says again what an earlier record holds brings what is new
// alone: whole blocks of old readings, and old ones in a block with new ones,
// are left out.
func TestReadingsOfEarlierRecordsAreLeftOut(t *testing.T) {
	e, ch, enc := gateway.EpochID{7}, &gateway.Channel{Device: "boiler", Quantity: "temperature", Unit: "Cel"}, block.NewEncoder()
	u := &wire.Update{Lane: wire.LaneLive, Epoch: e, First: 1, N: 9}
	for _, first := range []uint64{1, 4, 7} {
		var rs []gateway.Reading
		for i := range uint64(3) {
			rs = append(rs, gateway.Reading{Channel: ch, Value: float64(first + i), At: gateway.Stamp(first + i)})
		}
		b, err := enc.Append(nil, gateway.BlockHeader{Range: gateway.Range{Epoch: e, First: first}}, rs)
		if err != nil {
			t.Fatal(err)
		}
		u.Blocks = append(u.Blocks, b)
	}
	u.Blocks = append(u.Blocks, []byte("damage"))
	body, err := wire.Encode(u)
	if err != nil {
		t.Fatal(err)
	}
	r := Record{Kind: KindUpdate, First: 5, N: 5, Body: body}
	held, err := r.Content()
	if err != nil || held.Event != nil {
		t.Fatal(held, err)
	}
	var got []string
	for b, err := range held.Blocks() {
		var rs []gateway.Reading
		if err == nil {
			rs, err = b.Readings(block.NewDecoder())
		}
		if errors.Is(err, ErrUndecodable) {
			got = append(got, "damage")
		} else if err != nil {
			t.Fatal(err)
		}
		for i, x := range rs {
			got = append(got, fmt.Sprintf("%d=%v", b.From+uint64(i), x.Value))
		}
	}
	if all := strings.Join(got, " "); all != "5=5 6=6 7=7 8=8 9=9 damage" {
		t.Errorf("the record holds %s", all)
	}
}

func TestBodiesThatAreNone(t *testing.T) {
	other, err := wire.Encode(&wire.Ping{T0: 1})
	if err != nil {
		t.Fatal(err)
	}
	for name, body := range map[string][]byte{"nothing": nil, "noise": []byte("noise"), "another message": other} {
		r := Record{Kind: KindUpdate, Body: body}
		if held, err := r.Content(); !errors.Is(err, ErrUndecodable) || held.Update != nil || held.Event != nil {
			t.Errorf("%s: %+v, %v", name, held, err)
		}
	}
}
