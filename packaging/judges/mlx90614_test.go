package judges

import (
	"math"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/drivers"
)

// mlxWords are all words that a real MLX90614 gave for command 0x07 in 5 s at 24
// °C: sigrok-dumps i2c/melexis_mlx90614/melexis_mlx90614_5s_24deg.sr (SCL on
// channel 5, SDA on 7). The host used address 0 and did not read the checksum.
var mlxWords = []uint16{
	0x3a27, 0x3a27, 0x3a26, 0x3a21, 0x3a1b, 0x3a1b, 0x3a1e, 0x3a1e, 0x3a1b, 0x3a1b, 0x3a1b, 0x3a1d, 0x3a1a,
	0x3a1a, 0x3a1a, 0x3a18, 0x3a18, 0x3a17, 0x3a1a, 0x3a1b, 0x3a17, 0x3a17, 0x3a18, 0x3a1a, 0x3a18,
}

var mlx90614Proofs = []proof{
	{chip: "MLX90614", driver: "mlx90614", judge: "B", by: "sigrok-dumps melexis_mlx90614_5s_24deg.sr, 25 words", try: func(t *testing.T) {
		s := newSubject(t, "mlx90614", nil)
		for _, word := range mlxWords {
			s.bus.Attach(0x5a, wordChip{0x07: word, 0x06: word, 0x2e: 0xbe5a})
			got := s.visit()
			for _, q := range []string{"temperature", "ambient"} {
				if v := got[q]; v.Doubt != "" || math.Floor(v.Value) != 24 {
					t.Errorf("%04x: ours reads %+v, it was at 24 Cel", word, v)
				}
			}
		}
	}},
	{chip: "MLX90614", driver: "mlx90614", judge: "E", by: "datasheet 3901090614, 8.4: reading 0x3ad2 has PEC 0x30, falling asleep has 0xe8",
		try: func(t *testing.T) {
			s := newSubject(t, "mlx90614", nil)
			s.set("temperature", 28.01)
			time.Sleep(time.Second)
			if got := s.visit()["temperature"]; !near(got.Value, 28.01, 1e-9) {
				t.Errorf("ours reads %+v, want 28.01", got)
			}
			var r [3]byte
			if err := s.bus.Tx(0x5a, []byte{0x07}, r[:]); err != nil || r != [3]byte{0xd2, 0x3a, 0x30} {
				t.Errorf("the chip says %x, %v; want d23a30", r, err)
			}
			if err := s.bus.Tx(0x5a, []byte{0xff, 0xe9}, nil); err == nil {
				t.Error("the chip takes a wrong PEC")
			}
			if err := s.bus.Tx(0x5a, []byte{0xff, 0xe8}, nil); err != nil {
				t.Error(err)
			}
			if vs, err := s.try(); err == nil {
				t.Errorf("asleep it gives %v", vs)
			}
		}},
	{chip: "MLX90614", driver: "mlx90614", judge: "E", by: "application note 390119061402 p. 14: 0x27ad is -70.01 Cel, 0x7fff 382.19 Cel",
		try: func(t *testing.T) {
			for word, want := range map[uint16]float64{0x27ad: -70.01, 0x7fff: 382.19} {
				s := newSubject(t, "mlx90614", nil)
				s.bus.Attach(0x5a, wordChip{0x07: word, 0x06: 0x3a00, 0x2e: 0xbe5a})
				// All that is hotter has the last word, so that one is in doubt.
				if got := s.visit()["temperature"]; !near(got.Value, want, 1e-9) || (got.Doubt != "") != (word == 0x7fff) {
					t.Errorf("%04x: ours reads %+v, want %v", word, got, want)
				}
			}
		}},
}

// A wordChip answers commands of SMBus at 0x5a with words that stay, and their
// checksums.
type wordChip map[byte]uint16

func (c wordChip) Tx(w, r []byte) error {
	v := c[w[0]]
	frame := []byte{0xb4, w[0], 0xb5, byte(v), byte(v >> 8)}
	copy(r, append(frame[3:], drivers.CRC8(frame, 0x07, 0)))
	return nil
}

func (c wordChip) Reset() {}
