package block

import (
	"github.com/fxamacker/cbor/v2"
)

// document is the payload (block.cddl says the same).
type document struct {
	Unit     uint64    `cbor:"0,keyasint"` // µs in a tick
	Times    [][]int64 `cbor:"1,keyasint"` // series of ticks after the header's T0; channels read together share one
	Channels []channel `cbor:"2,keyasint"`
	Order    []uint64  `cbor:"3,keyasint"` // see order.go
}

// channel is one channel's columns. Its readings are in arrival order.
type channel struct {
	_        struct{} `cbor:",toarray"`
	Device   string
	Quantity string
	Unit     string
	Time     uint64    // index of its series in Times
	Decimals uint64    // value = int / 10^Decimals
	Ints     []int64   // a series; or empty, and then:
	Floats   []float64 // the values themselves
	Quality  []uint64  // runs: quality, how many, quality, …; the last run has no count; empty: all good
}

var (
	encMode = must(cbor.EncOptions{
		Sort:          cbor.SortCoreDeterministic,
		NaNConvert:    cbor.NaNConvertNone,
		InfConvert:    cbor.InfConvertNone,
		NilContainers: cbor.NilContainerAsEmpty,
	}.UserBufferEncMode())
	decMode = must(cbor.DecOptions{
		DupMapKey:        cbor.DupMapKeyEnforcedAPF,
		IndefLength:      cbor.IndefLengthForbidden,
		TagsMd:           cbor.TagsForbidden,
		MaxNestedLevels:  8,
		MaxArrayElements: MaxReadings + 3,
		MaxMapPairs:      16,
		UTF8:             cbor.UTF8RejectInvalid,
	}.DecMode())
)

func must[M any](m M, err error) M {
	if err != nil {
		panic(err) // the constants above are wrong; every test of this package sees it
	}
	return m
}
