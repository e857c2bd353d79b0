package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math"
	"os"
)

// The layout of bbolt's pages, as far as it is needed to see whether a file
// can be given to bbolt at all (internal/common/page.go and meta.go of bbolt
// 1.4; numbers in the machine's order):
//
//	page:    id 8, flags 2, count 2, overflow 4, then elements of 16 bytes
//	leaf:    flags 4, position of the key behind this element 4, key size 4, value size 4
//	branch:  position 4, key size 4, page 8
//	bucket:  a leaf's value: root page 8 (0: a leaf page follows), sequence 8
//	meta:    magic 4, version 4, page size 4, flags 4, root 16, freelist 8, high water 8, transaction 8, FNV-64a 8
const (
	pageHeader  = 16
	pageElement = 16
	metaSize    = 64
	boltMagic   = 0xED0CDAED

	branchPage   = 0x01
	leafPage     = 0x02
	freelistPage = 0x10
	bucketLeaf   = 0x01
)

var native = binary.NativeEndian

// soundFile walks through the pages of a bbolt file with plain reads: every
// page that can be reached lies in the file, is what it says, and is reached
// once; keys are in order; and what is free is not in use. bbolt believes all
// of that, and where a bit has flipped it reads without end, calls itself
// without end, or writes over what is in use. The error is errDamaged, or that
// of reading.
func soundFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	w := &pageWalk{f: f, size: info.Size(), reached: map[uint64]bool{}}
	root, freelist, err := w.meta()
	if err == nil {
		err = w.page(root, nil)
	}
	if err == nil && freelist != math.MaxUint64 {
		err = w.freelist(freelist)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// A pageWalk is a walk through one file.
type pageWalk struct {
	f        io.ReaderAt
	size     int64
	pageSize int64
	high     uint64 // pages from here on are not in use
	reached  map[uint64]bool
}

func damagedPage(id uint64, what string) error {
	return fmt.Errorf("%w: page %d %s", errDamaged, id, what)
}

// read reads a part of a page, and of those that belong to it.
func (w *pageWalk) read(id uint64, offset, n int64) ([]byte, error) {
	at := int64(id)*w.pageSize + offset
	if at < 0 || n < 0 || at+n > w.size {
		return nil, damagedPage(id, "goes beyond the file")
	}
	b := make([]byte, n)
	_, err := w.f.ReadAt(b, at)
	if errors.Is(err, io.EOF) {
		return nil, damagedPage(id, "is cut short")
	}
	return b, err
}

// meta finds the newest meta page that makes sense, as bbolt does.
func (w *pageWalk) meta() (root, freelist uint64, err error) {
	found, newest := false, uint64(0)
	for _, pageSize := range []int64{4096, 8192, 16384, 32768, 65536} { // where the second one is, the first may not tell
		for id := range uint64(2) {
			w.pageSize = pageSize
			b, err := w.read(id, pageHeader, metaSize)
			if err != nil || native.Uint32(b) != boltMagic || int64(native.Uint32(b[8:])) != pageSize {
				continue
			}
			sum := fnv.New64a()
			_, _ = sum.Write(b[:56])
			txid := native.Uint64(b[48:])
			if sum.Sum64() != native.Uint64(b[56:]) || found && txid < newest {
				continue
			}
			found, newest = true, txid
			root, freelist, w.high = native.Uint64(b[16:]), native.Uint64(b[32:]), native.Uint64(b[40:])
		}
		if found {
			return root, freelist, nil
		}
	}
	return 0, 0, fmt.Errorf("%w: neither meta page makes sense", errDamaged)
}

// visit reads the header of a page and notes it as reached.
func (w *pageWalk) visit(id uint64) (flags uint16, count int, length int64, err error) {
	if id < 2 || id >= w.high {
		return 0, 0, 0, damagedPage(id, "is not one of the file")
	}
	b, err := w.read(id, 0, pageHeader)
	if err != nil {
		return 0, 0, 0, err
	}
	more := uint64(native.Uint32(b[12:]))
	if native.Uint64(b) != id || id+more >= w.high || int64(id+more+1)*w.pageSize > w.size {
		return 0, 0, 0, damagedPage(id, "is another, or longer than the file")
	}
	for i := id; i <= id+more; i++ {
		if w.reached[i] {
			return 0, 0, 0, damagedPage(i, "is used twice")
		}
		w.reached[i] = true
	}
	return native.Uint16(b[8:]), int(native.Uint16(b[10:])), int64(more+1) * w.pageSize, nil
}

// page looks at a page of the tree and what hangs on it. after is the key that
// all of its own must not be less than.
func (w *pageWalk) page(id uint64, after []byte) error {
	flags, count, length, err := w.visit(id)
	if err != nil {
		return err
	}
	elements, err := w.read(id, pageHeader, int64(count)*pageElement)
	if err != nil {
		return err
	}
	if pageHeader+int64(len(elements)) > length || flags != leafPage && (flags != branchPage || count == 0) {
		return damagedPage(id, "does not make sense")
	}
	for i := range count {
		e := element{page: id, at: int64(pageHeader + i*pageElement), limit: length, leaf: flags == leafPage, raw: elements[i*pageElement:]}
		key, err := w.key(e)
		if err != nil {
			return err
		}
		if order := bytes.Compare(after, key); order > 0 || order == 0 && i > 0 {
			return damagedPage(id, "has keys out of order")
		}
		after = key
		if err := w.below(e, key); err != nil {
			return err
		}
	}
	return nil
}

// An element of a page.
type element struct {
	page      uint64
	at, limit int64 // offset in the page, and how long that is
	leaf      bool
	raw       []byte
}

// sizes gives where the key begins, counted from the element, and the sizes of
// key and value.
func (e element) sizes() (pos, key, value int64) {
	if e.leaf {
		return int64(native.Uint32(e.raw[4:])), int64(native.Uint32(e.raw[8:])), int64(native.Uint32(e.raw[12:]))
	}
	return int64(native.Uint32(e.raw)), int64(native.Uint32(e.raw[4:])), 0
}

func (w *pageWalk) key(e element) ([]byte, error) {
	pos, key, value := e.sizes()
	if e.at+pos+key+value > e.limit || e.leaf && key == 0 {
		return nil, damagedPage(e.page, "has a key or value beyond its end")
	}
	return w.read(e.page, e.at+pos, key)
}

// below looks at the page that an element leads to, if it does.
func (w *pageWalk) below(e element, key []byte) error {
	if !e.leaf {
		return w.page(native.Uint64(e.raw[8:]), key)
	}
	pos, keySize, value := e.sizes()
	switch native.Uint32(e.raw) {
	case 0:
		return nil
	case bucketLeaf:
	default:
		return damagedPage(e.page, "has an element of no known kind")
	}
	if value < 16 {
		return damagedPage(e.page, "has a bucket that is too short")
	}
	at := e.at + pos + keySize
	b, err := w.read(e.page, at, 8)
	if err != nil {
		return err
	}
	if root := native.Uint64(b); root != 0 {
		return w.page(root, nil)
	}
	return w.inline(e.page, at+16, value-16)
}

// inline looks at a small bucket that lies in another's page.
func (w *pageWalk) inline(page uint64, at, length int64) error {
	b, err := w.read(page, at, length)
	if err != nil {
		return err
	}
	if length < pageHeader || native.Uint16(b[8:]) != leafPage {
		return damagedPage(page, "has a small bucket that makes no sense")
	}
	count := int(native.Uint16(b[10:]))
	if int64(pageHeader+count*pageElement) > length {
		return damagedPage(page, "has a small bucket that is too short")
	}
	var before []byte
	for i := range count {
		e := element{page: page, at: int64(pageHeader + i*pageElement), limit: length, leaf: true, raw: b[pageHeader+i*pageElement:]}
		pos, key, value := e.sizes()
		begin := e.at + pos
		if native.Uint32(e.raw) != 0 || key == 0 || begin+key+value > length || bytes.Compare(before, b[begin:begin+key]) >= 0 {
			return damagedPage(page, "has a small bucket whose keys make no sense")
		}
		before = b[begin : begin+key]
	}
	return nil
}

// freelist looks whether the pages said to be free are.
func (w *pageWalk) freelist(id uint64) error {
	flags, count, length, err := w.visit(id)
	if err != nil {
		return err
	}
	b, err := w.read(id, 0, length)
	if err != nil {
		return err
	}
	first := int64(pageHeader)
	n := int64(count)
	if count == math.MaxUint16 { // more than fit the header: the first one counts them
		n, first = int64(native.Uint64(b[pageHeader:])), first+8
	}
	if flags != freelistPage || n < 0 || n > (length-first)/8 {
		return damagedPage(id, "is no list of free pages")
	}
	for i := range n {
		free := native.Uint64(b[first+8*i:])
		if free < 2 || free >= w.high || w.reached[free] {
			return damagedPage(free, "is said to be free and is not")
		}
		w.reached[free] = true
	}
	return nil
}
