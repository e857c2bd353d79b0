package cloudtest

import (
	"strconv"
	"strings"

	"github.com/fieldgate/fieldgate/uplink/cloud/record"
)

// A ChainCase is a log of one gateway, and which of its records are valid. Of
// each record it says the id and, behind <, that of the predecessor that its
// writer knew. A dot is a record that was purged. A predecessor that is not in
// the log stood right in front of the record, or where @ says.
type ChainCase struct {
	Name, Log, Valid string
	// Unwritten: its newest record follows a void one. No session writes that: the
	// connection breaks before the log loses anything, which ends all sessions. The
	// server relies on it, and looks one record back; readers leave it out all the same.
	Unwritten bool
}

// ChainCases are what everybody passes who tells void records from valid ones.
var ChainCases = []ChainCase{
	{Name: "empty", Log: "", Valid: ""},
	{Name: "nothing void", Log: "a< b<a c<b", Valid: "a b c"},
	{Name: "what came before is purged", Log: ". . c<b d<c", Valid: "c d"},
	{Name: "purged, and the newest one is void", Log: ". . . d<c x<lost", Valid: "d"},
	{Name: "a void one before the newest", Log: "a< x<lost b<a", Valid: "a b"},
	{Name: "the newest is void", Log: "a< b<a x<lost", Valid: "a b"},
	{Name: "two are, both from before", Log: "a< b<a x<lost y<lost", Valid: "a b"},
	{Name: "two void ones, and the chain goes on", Log: "a< b<a x<lost y<lost c<b d<c", Valid: "a b c d"},
	{Name: "a void one with one that follows it", Log: "a< b<a x<lost y<x c<b", Valid: "a b c"},
	{Name: "one from further back", Log: "a< b<a c<b x<lost@2", Valid: "a b c"},
	{Name: "two of one predecessor: the first stands", Log: "a< b<a x<a c<b", Valid: "a b c"},
	{Name: "the same at the end", Log: "a< b<a x<a", Valid: "a b"},
	{Name: "the other has followers", Log: "a< b<a x<a y<x", Valid: "a b", Unwritten: true},
	{Name: "the same, and void ones between", Log: "a< x<lost b<a y<a", Valid: "a b"},
	{Name: "many", Log: "a< x<lost y<lost b<a z<a c<b", Valid: "a b c"},
	{Name: "many, and older ones purged", Log: ". . d<c x<lost e<d y<d f<e z<lost", Valid: "d e f"},
	{Name: "forks from further back", Log: "a< b<a c<b d<c x<b y<a e<d", Valid: "a b c d e"},
}

// Records gives the records of the log. One that does not follow the record in
// front of it opens a session, as the server would write it; others are updates.
func (c ChainCase) Records() []record.Record {
	var list []record.Record
	places := map[string]uint64{}
	for i, part := range strings.Fields(c.Log) {
		id, prev, ok := strings.Cut(part, "<")
		if !ok {
			continue
		}
		prev, at, _ := strings.Cut(prev, "@")
		r := record.Record{Seq: uint64(i + 1), ID: id, Prev: prev, Kind: record.KindUpdate}
		if n, err := strconv.ParseUint(at, 10, 64); err == nil {
			r.PrevSeq = n
		} else if seq, known := places[prev]; known {
			r.PrevSeq = seq
		} else if prev != "" {
			r.PrevSeq = uint64(i)
		}
		if r.PrevSeq+1 != r.Seq || prev == "" {
			r.Kind = record.KindOpen
		}
		places[id] = r.Seq
		list = append(list, r)
	}
	return list
}
