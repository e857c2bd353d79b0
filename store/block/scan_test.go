package block_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/packaging/bench/plant"
	"github.com/fieldgate/fieldgate/store/block"
)

// badSectors is a file some pages of which cannot be read.
type badSectors struct {
	*bytes.Reader
	from, to int64
}

func (b badSectors) ReadAt(p []byte, at int64) (int, error) {
	if at < b.to && at+int64(len(p)) > b.from {
		return 0, errors.New("input/output error")
	}
	return b.Reader.ReadAt(p, at)
}

// Scan finds every whole block, wherever it lies, and none that is damaged.
func TestScanFindsBlocksInDamagedFiles(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	source, enc := plant.New(1), block.NewEncoder()
	var file []byte
	var at []int64
	first := uint64(1)
	for len(file) < 5<<20 {
		junk := make([]byte, random.IntN(20_000))
		for i := range junk {
			junk[i] = byte(random.Uint32())
		}
		if len(junk) > 100 {
			copy(junk[50:], block.Magic) // one that leads nowhere
		}
		file = append(file, junk...)
		at = append(at, int64(len(file)))
		rs := source.Append(nil, 1+random.IntN(3000))
		h := gateway.BlockHeader{Range: gateway.Range{First: first}}
		var err error
		if file, err = enc.Append(file, h, rs); err != nil {
			t.Fatal(err)
		}
		first += uint64(len(rs))
	}
	scan := func(f badSectors) (found []int64) {
		err := block.Scan(f, f.Size(), func(offset int64, b []byte) error {
			if _, err := block.Parse(b); err != nil {
				t.Errorf("what was found at %d is no block: %v", offset, err)
			}
			found = append(found, offset)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	if found := scan(badSectors{Reader: bytes.NewReader(file)}); len(found) != len(at) {
		t.Errorf("%d of %d blocks were found", len(found), len(at))
	}
	victim := at[len(at)/2]
	file[victim+200] ^= 4
	if found := scan(badSectors{Reader: bytes.NewReader(file)}); len(found) != len(at)-1 {
		t.Errorf("%d of %d blocks were found, one being damaged", len(found), len(at))
	}
	file[victim+200] ^= 4
	page := victim / 4096 * 4096
	found := scan(badSectors{bytes.NewReader(file), page, page + 4096})
	if len(found) >= len(at) || len(found) < len(at)-8 {
		t.Errorf("%d of %d blocks were found, one page being unreadable", len(found), len(at))
	}
}

// Scan survives anything, and gives only what is a block.
func FuzzScan(f *testing.F) {
	enc := block.NewEncoder()
	good, err := enc.Append([]byte("junk"), gateway.BlockHeader{Range: gateway.Range{First: 1}}, plant.New(1).Append(nil, 20))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(append(good, good...))
	f.Add([]byte("fgbkfgbkfgbk"))
	f.Fuzz(func(t *testing.T, file []byte) {
		end := int64(0)
		err := block.Scan(bytes.NewReader(file), int64(len(file)), func(offset int64, b []byte) error {
			if offset < end {
				t.Errorf("a block at %d lies in the one that ends at %d", offset, end)
			}
			end = offset + int64(len(b))
			_, err := block.Parse(b)
			return err
		})
		if err != nil {
			t.Errorf("what was found is no block: %v", err)
		}
	})
}
