package sensirion

import (
	"bytes"
	"context"
	"errors"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"periph.io/x/conn/v3"

	"github.com/fieldgate/fieldgate/drivers"
)

// The checksums that the datasheets print: SHT3x-DIS version 5 table 20, SGP40
// version 1.0 table 10, SCD4x version 1.3 §3.5.2.
func TestChecksumsAsPublished(t *testing.T) {
	for _, c := range []struct {
		word uint16
		sum  byte
	}{
		{0xbeef, 0x92}, {0x8000, 0xa2}, {0x6666, 0x93}, {0, 0x81}, {0xffff, 0xac}, {0x01f4, 0x33}, {0x6667, 0xa2}, {0x5eb9, 0x3c},
	} {
		p := AppendWord([]byte{0x26, 0x0f}, c.word)
		if want := []byte{0x26, 0x0f, byte(c.word >> 8), byte(c.word), c.sum}; !bytes.Equal(p, want) {
			t.Errorf("%04x is sent as % x, want % x", c.word, p, want)
		}
	}
}

// Every flipped bit of an answer is seen.
func TestWordsWithAFlippedBit(t *testing.T) {
	p := make([]byte, Length(2))
	Answer(p, 0x6667, 0x5eb9)
	words := make([]uint16, 2)
	if err := Words(words, p); err != nil || words[0] != 0x6667 || words[1] != 0x5eb9 {
		t.Fatalf("% x gives %x, %v", p, words, err)
	}
	for bit := range 8 * len(p) {
		p[bit/8] ^= 1 << (bit % 8)
		if err := Words(words, p); err == nil || words[0]|words[1] != 0 {
			t.Errorf("bit %d is flipped: %x, %v", bit, words, err)
		}
		p[bit/8] ^= 1 << (bit % 8)
	}
}

// Wires that are stuck carry no words.
func TestStuckWires(t *testing.T) {
	for _, b := range []byte{0, 0xff} {
		if err := Words(make([]uint16, 1), bytes.Repeat([]byte{b}, 3)); err == nil {
			t.Errorf("%02x over and over is taken for a word", b)
		}
	}
}

func TestAnswerBeyondItsEnd(t *testing.T) {
	p := make([]byte, 5)
	if Answer(p, 0xbeef); !bytes.Equal(p, []byte{0xbe, 0xef, 0x92, 0xff, 0xff}) {
		t.Errorf("answer % x", p)
	}
}

func TestConversions(t *testing.T) {
	for word, want := range map[uint16]float64{0: -45, 0xffff: 130, 0x6667: 25.0030} {
		if got := Celsius(word); math.Abs(got-want) > 0.0005 || FromCelsius(got) != word {
			t.Errorf("%04x is %v, which is %04x; want %v", word, got, FromCelsius(got), want)
		}
	}
	if FromPart(-0.1) != 0 || FromPart(1.1) != 0xffff || Part(0x8000) < 0.5 || Part(0x8000) > 0.50001 {
		t.Error("parts are not clipped, or not halved")
	}
}

// deaf is a chip that does not acknowledge the first transfers.
type deaf struct{ transfers, acknowledges int }

func (d *deaf) String() string      { return "deaf" }
func (d *deaf) Duplex() conn.Duplex { return conn.Half }
func (d *deaf) Tx(w, r []byte) error {
	if d.transfers++; d.transfers < d.acknowledges {
		return drivers.ErrAbsent
	}
	return nil
}

func TestInsist(t *testing.T) {
	for acknowledges, want := range map[int]error{1: nil, 2: nil, 3: drivers.ErrAbsent} {
		synctest.Test(t, func(t *testing.T) {
			d := &deaf{acknowledges: acknowledges}
			start := time.Now()
			if err := Insist(t.Context(), d, nil, nil, time.Second); !errors.Is(err, want) {
				t.Errorf("acknowledged transfer %d: %v", acknowledges, err)
			}
			if slept := time.Since(start); slept != min(time.Second, time.Duration(acknowledges-1)*time.Second) {
				t.Errorf("waited %v for transfer %d", slept, acknowledges)
			}
		})
	}
	short, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := Insist(short, &deaf{acknowledges: 9}, nil, nil, time.Hour); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("waited beyond its time: %v", err)
	}
}
