package cloud

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"iter"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/cloud/cloudtest"
	"github.com/fieldgate/fieldgate/uplink/cloud/keyring"
	"github.com/fieldgate/fieldgate/uplink/cloud/ledger"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// fetch asks a server on this history and kv for lines of gateway g.
func fetch(t testing.TB, h *cloudtest.History, kv record.KV, path string) *httptest.ResponseRecorder {
	t.Helper()
	s := inMemory(Options{Log: h, KV: kv, Credentials: keyring.Credentials{Dir: t.TempDir()}, OperatorToken: "operator"})
	w := httptest.NewRecorder()
	r := httptest.NewRequest("GET", path, nil)
	r.Header.Set("Authorization", "Bearer operator")
	s.ServeHTTP(w, r)
	return w
}

// seqsOf gives "epoch's first byte: seq" of every reading, and the type of every
// other line.
func seqsOf(t testing.TB, h *cloudtest.History, kv record.KV, query string) []string {
	t.Helper()
	w := fetch(t, h, kv, "/v1/gateways/g/readings"+query)
	if w.Code != http.StatusOK {
		t.Fatalf("%s: %d %s", query, w.Code, w.Body)
	}
	var got []string
	for line := range strings.Lines(w.Body.String()) {
		var l struct {
			Type  string
			Epoch gateway.EpochID
			Seq   uint64
		}
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if l.Type == "" {
			l.Type = fmt.Sprintf("%x:%d", l.Epoch[0], l.Seq)
		}
		got = append(got, l.Type)
	}
	return got
}

// indexRun is how many records of an epoch the index knows as one.
const indexRun = 256

// A batch is a feed that gives these entries, and ends.
type batch []record.Entry

func (b batch) Consume(ctx context.Context, _ string, _ int, take func(context.Context, []record.Entry) error) error {
	return take(ctx, b)
}

func (b batch) Scan(context.Context, uint64) iter.Seq2[record.Entry, error] { panic("not asked") }
func (b batch) Purge(context.Context, time.Duration) error                  { panic("not asked") }

// month is a history of three epochs: two that ended, with backlog of the one
// arriving among the other, and one that grows. One record is three readings,
// one a second. All is entered but the newest records.
func month(t *testing.T, records int) (*cloudtest.History, *cloudtest.KV) {
	h, kv := cloudtest.NewHistory(), &cloudtest.KV{}
	a, b, c := gateway.EpochID{0xa}, gateway.EpochID{0xb}, gateway.EpochID{0xc}
	h.Open("g", true, a, b, c)
	for i := range uint64(records) {
		h.Send("g", h.DataAt(a, 3*i+1, 3, int64(3*i)))
		if i > uint64(records/2) {
			j := i - uint64(records/2) - 1
			h.Send("g", h.DataAt(b, 3*j+1, 3, int64(3*j)+int64(10*records)))
		}
		if i == uint64(records/3) {
			ev, err := wire.Encode(&wire.Event{Epoch: a, Seq: 1, Kind: gateway.EventAlarm, At: int64(3*i) * 1e6, Device: "boiler",
				Anchor: record.WireAnchor(cloudtest.BootAnchor(a))})
			if err != nil {
				t.Fatal(err)
			}
			h.Write("g", record.Record{Kind: record.KindEvent, State: h.Gateway("g").State.String(), Epoch: a, First: 1, Body: ev})
			h.Void("g")
		}
	}
	h.Send("g", cloudtest.End(a, 3*uint64(records), true))
	for i := range uint64(records) {
		h.Send("g", h.DataAt(c, 3*i+1, 3, int64(3*i)+int64(20*records)))
	}
	l := ledger.Ledger{Log: h, KV: kv, Feed: batch(h.Entries[:len(h.Entries)-40]), Logger: slog.New(slog.DiscardHandler)}
	l.Run(t.Context())
	return h, kv
}

// A range of time gives just what filtering everything by time gives, and does
// not read much more of the log than that.
func TestReadingsOfARange(t *testing.T) {
	const records = 3000
	h, kv := month(t, records)
	type stamped struct {
		Type      string
		Epoch     gateway.EpochID
		Seq       uint64
		Timestamp time.Time
	}
	var all []stamped
	for line := range strings.Lines(fetch(t, h, kv, "/v1/gateways/g/readings").Body.String()) {
		var l stamped
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatal(err)
		}
		all = append(all, l)
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 40 {
		from := rnd.IntN(24 * records)
		to := from + rnd.IntN(900)
		h.Given = 0
		got := seqsOf(t, h, kv, "?from="+cloudtest.At(from).Format(time.RFC3339)+"&to="+cloudtest.At(to).Format(time.RFC3339))
		var want []string
		for _, l := range all {
			switch {
			case l.Type == "end":
				if last := cloudtest.At(3*records - 1); !last.Before(cloudtest.At(from)) && !last.After(cloudtest.At(to)) {
					want = append(want, l.Type)
				}
			case l.Timestamp.Before(cloudtest.At(from)) || l.Timestamp.After(cloudtest.At(to)):
			case l.Type == "":
				want = append(want, fmt.Sprintf("%x:%d", l.Epoch[0], l.Seq))
			default:
				want = append(want, l.Type)
			}
		}
		if !slices.Equal(got, want) {
			t.Fatalf("from %d to %d: %d lines, want %d\n%v\n%v", from, to, len(got), len(want), got, want)
		}
		// Of each of the two epochs that lie among each other, one segment too
		// many at either end; beyond that what is not entered, twice.
		if most := len(want)/3 + 6*indexRun + 2*40; h.Given > most {
			t.Errorf("from %d to %d: %d records read for %d lines, want at most %d", from, to, h.Given, len(want), most)
		}
	}
}

func TestReadingsOfOneEpoch(t *testing.T) {
	h, kv := month(t, 300)
	h.Given = 0
	got := seqsOf(t, h, kv, "?epoch=0c000000000000000000000000000000&from_seq=7&to_seq=11")
	if want := []string{"c:7", "c:8", "c:9", "c:10", "c:11"}; !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
	if h.Given > 300+2*40+10 {
		t.Errorf("%d records read", h.Given)
	}
	if all, got := seqsOf(t, h, kv, ""), seqsOf(t, h, kv, "?device=boiler&quantity=temperature"); len(got) != len(all)-1 ||
		slices.Contains(got, "event") || !slices.Contains(all, "event") {
		t.Errorf("%d lines of the one channel, %d in all", len(got), len(all))
	}
	if got := seqsOf(t, h, kv, "?device=none"); !slices.Equal(got, []string{"end"}) {
		t.Errorf("of a device that is not there: %v", got)
	}
	w := fetch(t, h, kv, "/v1/gateways/g/events?from="+cloudtest.Day0.Format(time.RFC3339))
	if n := strings.Count(w.Body.String(), "\n"); w.Code != 200 || n != 1 || !strings.Contains(w.Body.String(),
		`"type":"event","gateway_id":"g","kind":"alarm","device_id":"boiler","timestamp":"2026-10-01T00:05:00.000Z","time":"ntp"`) {
		t.Errorf("events: %d %s", w.Code, w.Body)
	}
	if w := fetch(t, h, kv, "/v1/gateways/g/events?to="+cloudtest.Day0.Format(time.RFC3339)); w.Body.Len() != 0 {
		t.Errorf("events of another time: %s", w.Body)
	}
}

func TestBadQueriesForReadings(t *testing.T) {
	h, kv := month(t, 30)
	for query, says := range map[string]string{
		"?from=5": "from_seq", "?to=x": "to:", "?from_seq=-1": "from_seq", "?to_seq=1.5": "to_seq", "?epoch=1": "32 hex", "?format=xml": "ndjson",
		"?from=-1s&to=-2s": "before from",
	} {
		if w := fetch(t, h, kv, "/v1/gateways/g/readings"+query); w.Code != 400 || !strings.Contains(w.Body.String(), says) {
			t.Errorf("%s: %d %s", query, w.Code, w.Body)
		}
	}
}

// Every type of line has its place in CSV.
func TestReadingsAsCSV(t *testing.T) {
	h := cloudtest.NewHistory()
	e := gateway.EpochID{0xe}
	h.Open("g", true, e)
	h.Send("g", h.Data(e, 1, 1))
	h.Send("g", cloudtest.Gap(e, 2, 3, gateway.WhyDropped))
	h.Send("g", h.Thinned(e, 5, 6))
	h.Send("g", cloudtest.End(e, 10, false))
	h.Send("g", cloudtest.End(e, 10, true))
	ev, err := wire.Encode(&wire.Event{Epoch: e, Seq: 1, Kind: gateway.EventAlarm, Body: []byte(`{"a":"b,c"}`),
		Anchor: record.WireAnchor(cloudtest.BootAnchor(e))})
	if err != nil {
		t.Fatal(err)
	}
	h.Write("g", record.Record{Kind: record.KindEvent, State: h.Gateway("g").State.String(), Epoch: e, First: 1, Body: ev})
	w := fetch(t, h, nil, "/v1/gateways/g/readings?format=csv")
	rows, err := csv.NewReader(w.Body).ReadAll()
	if err != nil || w.Code != 200 || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/csv") {
		t.Fatal(w.Code, w.Header(), err)
	}
	id := e.String()
	want := [][]string{
		{"type", "gateway_id", "device_id", "quantity", "value", "unit", "timestamp", "quality", "time", "epoch", "seq",
			"n", "why", "t0", "t1", "interval_s", "count", "min", "max", "mean", "body"},
		{"reading", "g", "boiler", "temperature", "1", "Cel", "2026-10-01T00:00:01.000Z", "good", "ntp", id, "1",
			"", "", "", "", "", "", "", "", "", ""},
		{"gap", "g", "", "", "", "", "", "", "ntp", id, "2", "3", "dropped", "2026-10-01T00:00:02.000Z",
			"2026-10-01T00:00:05.000Z", "", "", "", "", "", ""},
		{"thinned", "g", "boiler", "temperature", "", "Cel", "2026-10-01T00:00:00.000Z", "good", "ntp", id, "5",
			"6", "", "", "", "60", "6", "1", "2", "1.5", ""},
		{"end", "g", "", "", "", "", "", "", "ntp", id, "10", "20", "unclean_stop", "2026-10-01T00:00:10.000Z",
			"2026-10-01T00:00:15.000Z", "", "", "", "", "", ""},
		{"end", "g", "", "", "", "", "", "", "", id, "10", "", "closed", "", "", "", "", "", "", "", ""},
		{"event", "g", "", "", "", "", "2026-10-01T00:00:00.000Z", "", "ntp", id, "1", "1", "alarm", "", "", "", "", "", "", "", `{"a":"b,c"}`},
	}
	if len(rows) != len(want) {
		t.Fatalf("%d rows, want %d: %v", len(rows), len(want), rows)
	}
	for i := range want {
		if !slices.Equal(rows[i], want[i]) {
			t.Errorf("got  %q\nwant %q", rows[i], want[i])
		}
	}
}

// What is learned of the clock later corrects what was read before.
func TestReadingsGetTheirRightTimeLater(t *testing.T) {
	h := cloudtest.NewHistory()
	e := gateway.EpochID{0xe}
	h.Open("g", true, e)
	u := h.Data(e, 1, 2)
	u.Blocks[0] = h.Block(e, 1, 2, 10, gateway.Anchor{Boot: gateway.BootID(e), Offset: 5e6})
	h.Send("g", u)
	stamp := func() string {
		first, _, _ := strings.Cut(fetch(t, h, nil, "/v1/gateways/g/readings").Body.String(), "\n")
		var l struct{ Timestamp, Time string }
		if err := json.Unmarshal([]byte(first), &l); err != nil {
			t.Fatal(err)
		}
		return l.Timestamp + " " + l.Time
	}
	if got := stamp(); got != "1970-01-01T00:00:15.000Z none" {
		t.Errorf("before: %s", got)
	}
	if got := seqsOf(t, h, nil, "?from=-24h"); len(got) != 0 { // it arrived weeks ago
		t.Errorf("of yesterday: %v", got)
	}
	if got := seqsOf(t, h, nil, "?to="+cloudtest.At(60*86400).Format(time.RFC3339)); len(got) != 2 {
		t.Errorf("of any time: %v", got)
	}
	ev, err := wire.Encode(&wire.Event{Epoch: e, Seq: 1, Kind: gateway.EventAnchor, At: 60e6, Anchor: wire.Anchor{
		Boot: gateway.BootID(e), From: 60e6, Offset: cloudtest.Day0.UnixMicro(), Quality: gateway.ClockNTP}})
	if err != nil {
		t.Fatal(err)
	}
	h.Write("g", record.Record{Kind: record.KindEvent, State: h.Gateway("g").State.String(), Epoch: e, First: 1, Body: ev})
	if got := stamp(); got != "2026-10-01T00:00:10.000Z ntp" {
		t.Errorf("after: %s", got)
	}
	if got := seqsOf(t, h, nil, "?from="+cloudtest.At(11).Format(time.RFC3339)+"&to="+
		cloudtest.At(12).Format(time.RFC3339)); !slices.Equal(got, []string{"e:2"}) {
		t.Errorf("of that time: %v", got)
	}
}
