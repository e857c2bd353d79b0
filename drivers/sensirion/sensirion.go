// Package sensirion is what Sensirion's chips on I2C have in common: commands
// of 16 bits, words of 16 bits, and a checksum after each word (SHT3x-DIS
// datasheet version 5 §4.12, SCD4x version 1.3 §3.11, SGP40 version 1.0 §4.6).
package sensirion

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"periph.io/x/conn/v3"

	"github.com/fieldgate/fieldgate/drivers"
)

// Length is how many bytes n words take with their checksums.
func Length(n int) int { return 3 * n }

// checksum is that of two bytes: of 0xbeef it is 0x92.
func checksum(p []byte) byte { return drivers.CRC8(p, 0x31, 0xff) }

// Words takes the words out of what a chip answered. It fails if a checksum is
// wrong, and then gives no word.
func Words(words []uint16, p []byte) error {
	for i := range words {
		w := p[3*i : 3*i+3]
		if sum := checksum(w[:2]); sum != w[2] {
			clear(words)
			return fmt.Errorf("word %d of the answer is %04x with checksum %02x, want %02x: garbled", i, w[:2], w[2], sum)
		}
		words[i] = binary.BigEndian.Uint16(w)
	}
	return nil
}

// AppendWord appends a word with its checksum.
func AppendWord(p []byte, word uint16) []byte {
	p = binary.BigEndian.AppendUint16(p, word)
	return append(p, checksum(p[len(p)-2:]))
}

// Insist does a transfer, and does it once more after a pause if the chip does
// not acknowledge: it is busy, or was powered up a moment ago.
func Insist(ctx context.Context, dev conn.Conn, w, r []byte, pause time.Duration) error {
	err := drivers.Transfer(ctx, dev, w, r)
	if !errors.Is(err, drivers.ErrAbsent) {
		return err
	}
	if err := drivers.Pause(ctx, pause); err != nil {
		return err
	}
	return drivers.Transfer(ctx, dev, w, r)
}

// Celsius gives the temperature that a word stands for (SHT3x-DIS version 5
// §4.13; the same in SHT4x and SCD4x).
func Celsius(word uint16) float64 { return -45 + 175*Part(word) }

// Part gives the word as a part of its largest value.
func Part(word uint16) float64 { return float64(word) / math.MaxUint16 }

// For simulated chips.

// FromCelsius is the word for a temperature.
func FromCelsius(t float64) uint16 { return FromPart((t + 45) / 175) }

// FromPart is the word for a part of the largest value. Parts below 0 and
// above 1 are clipped, as a chip does it.
func FromPart(part float64) uint16 {
	return uint16(math.Round(math.MaxUint16 * min(max(part, 0), 1)))
}

// Answer fills r with words and their checksums. Whoever reads on gets ones:
// nobody drives the line.
func Answer(r []byte, words ...uint16) {
	for i := range r {
		r[i] = 0xff
		if n := i / 3; n < len(words) {
			word := [3]byte{byte(words[n] >> 8), byte(words[n])}
			word[2] = checksum(word[:2])
			r[i] = word[i%3]
		}
	}
}
