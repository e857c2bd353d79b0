package wire_test

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/store/block"
)

// The header of a block is laid out as PROTOCOL.md says.
func TestProtocolDescribesTheHeaderOfABlock(t *testing.T) {
	h := gateway.BlockHeader{
		Range: gateway.Range{Epoch: gateway.EpochID{0xe1, 15: 0xe2}, First: 0x0102030405060708},
		Anchor: gateway.Anchor{
			Boot: gateway.BootID{0xb1, 15: 0xb2}, From: 0x1112131415161718, Offset: -2, Quality: gateway.ClockSession, Error: 77 * time.Microsecond,
		},
	}
	channel := &gateway.Channel{Device: "boiler", Quantity: "temperature", Unit: "Cel"}
	rs := make([]gateway.Reading, 3)
	for i := range rs {
		rs[i] = gateway.Reading{Channel: channel, Value: float64(i), At: gateway.Stamp(-5 + i)}
	}
	b, err := block.NewEncoder().Append(nil, h, rs)
	if err != nil {
		t.Fatal(err)
	}
	rest := uint32(len(b) - block.HeaderSize)
	be := binary.BigEndian
	u64 := func(v int64) []byte { return be.AppendUint64(nil, uint64(v)) }
	want := map[int][]byte{
		0: []byte(block.Magic), 4: be.AppendUint32(nil, crc32.Checksum(b[8:], crc32.MakeTable(crc32.Castagnoli))),
		8: {1}, 9: {0}, 10: {byte(gateway.ClockSession)}, 11: {0}, 12: be.AppendUint32(nil, rest), 16: be.AppendUint32(nil, rest),
		20: be.AppendUint32(nil, 3), 24: u64(int64(h.First)), 32: h.Epoch[:], 48: h.Anchor.Boot[:], 64: u64(int64(h.Anchor.From)),
		72: u64(-2), 80: u64(77), 88: u64(-5), 96: u64(-3),
	}
	text, err := os.ReadFile("PROTOCOL.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "| Offset | Bytes | Content |\n|---|---|---|\n")
	at, rows := 0, 0
	for line := range strings.Lines(table) {
		cells := strings.Split(line, "|")
		if len(cells) < 4 {
			break
		}
		offset, err := strconv.Atoi(strings.TrimSpace(cells[1]))
		size, _ := strconv.Atoi(strings.TrimSpace(cells[2]))
		if err != nil || offset != at {
			t.Fatalf("%s: not at %d", line, at)
		}
		if at += size; size > 0 {
			rows++
			if !bytes.Equal(b[offset:at], want[offset]) {
				t.Errorf("%s: %x, want %x", line, b[offset:at], want[offset])
			}
		}
	}
	if at != block.HeaderSize || rows != len(want) {
		t.Errorf("the table ends at %d after %d rows", at, rows)
	}
}
