package cloud_test

import (
	"flag"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

var hours = flag.Int("hours", 2, "length of the log of BenchmarkLastHour, one record of 20 readings a second")

// BenchmarkLastHour asks for the last hour of a log that is much longer.
func BenchmarkLastHour(b *testing.B) {
	s := newSite(b, nil)
	s.withLedger()
	e := gateway.NewEpochID()
	last := record.Record{}
	add := func(r record.Record) {
		r.ID, r.Prev, r.PrevSeq = fmt.Sprint("r", last.Seq+1), last.ID, last.Seq
		seq, err := s.log.Append(b.Context(), s.id, last.Seq, r)
		if err != nil {
			b.Fatal(err)
		}
		r.Seq, last = seq, r
		last.Seq = seq
	}
	add(record.Record{Kind: record.KindOpen})
	records := uint64(*hours * 3600)
	for i := range records {
		u := readings(b, e, 20*i+1, 20, 20)
		body, err := wire.Encode(u)
		if err != nil {
			b.Fatal(err)
		}
		add(record.Record{Kind: record.KindUpdate, Epoch: e, First: u.First, N: u.N, Lane: wire.LaneLive, Body: body})
	}
	s.entered()
	newest := time.UnixMicro(anchor.Offset + int64(20*records)*1e6).UTC() // a reading a second of the clock, twenty in a record
	from := newest.Add(-20 * time.Hour).Format(time.RFC3339)
	var bytes int64
	for b.Loop() {
		n, err := io.Copy(io.Discard, s.get("/v1/gateways/"+s.id+"/readings?from="+from, operatorToken).Body)
		if err != nil {
			b.Fatal(err)
		}
		bytes += n
	}
	b.ReportMetric(float64(records), "records")
	b.ReportMetric(float64(b.N)*72000/b.Elapsed().Seconds(), "readings/s")
}
