package local

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
)

// past is a Historian that remembers what it was asked.
type past struct {
	asked  gateway.HistoryQuery
	answer gateway.History
	err    error
}

func (p *past) History(_ context.Context, q gateway.HistoryQuery) (gateway.History, error) {
	p.asked = q
	return p.answer, p.err
}

func TestHistoryOverHTTP(t *testing.T) {
	o, _ := options()
	p := &past{answer: gateway.History{
		Series: []gateway.Series{{Channel: *boiler, Buckets: []gateway.Bucket{
			{From: testNow.Add(-time.Hour), N: 3, Min: 1, Max: 2.5, Mean: 2, Worst: gateway.Stale},
			{From: testNow.Add(-time.Minute), N: 1, Min: math.NaN(), Max: math.NaN(), Mean: math.NaN(), Thinned: true},
		}}},
		Holes: []gateway.Hole{{From: testNow.Add(-time.Minute), To: testNow, Why: gateway.WhyUncleanStop, AtMost: 7}},
	}}
	o.History = p
	_, addr := start(t, o)
	m := getJSON(t, "http://"+addr+"/api/v1/history?channel=boiler/temperature&from=-6h&points=12")
	if want := (gateway.HistoryQuery{Channels: []gateway.Channel{{Device: "boiler", Quantity: "temperature"}},
		From: testNow.Add(-6 * time.Hour), To: testNow, Buckets: 12}); fmt.Sprint(p.asked) != fmt.Sprint(want) {
		t.Errorf("the store was asked %+v, want %+v", p.asked, want)
	}
	want := "map[from:2026-11-23T00:00:00.123Z " +
		"holes:[map[at_most:7 from:2026-11-23T05:59:00.123Z to:2026-11-23T06:00:00.123Z why:unclean_stop]] " +
		"series:[map[device_id:boiler max:[2.5 <nil>] mean:[2 <nil>] min:[1 <nil>] n:[3 1] " +
		"quality:[stale good] quantity:temperature thinned:[false true] " +
		"time:[1.795410000123e+12 1.795413540123e+12] unit:Cel]] to:2026-11-23T06:00:00.123Z]"
	if got := fmt.Sprint(m); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func manyChannels(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "channel=a/b%d&", i)
	}
	return b.String()
}

// No route with data takes a parameter that it does not know.
func TestUnknownParametersAreRefused(t *testing.T) {
	o, _ := options()
	o.History = &past{}
	s, addr := start(t, o)
	for _, r := range s.routes() {
		if r.open {
			continue
		}
		for _, query := range []string{"frm=-1h", "Token=x", "token=x&token=y", "x=%zz"} {
			if status, _, body := request(t, "http://"+addr+r.pattern+"?"+query); status != http.StatusBadRequest ||
				!strings.Contains(body, `"bad_query"`) {
				t.Errorf("%s?%s: %d %s", r.pattern, query, status, body)
			}
		}
	}
}

// A question that makes no sense is answered with what would.
func TestHistoryRefusesBadQueries(t *testing.T) {
	o, _ := options()
	p := &past{}
	o.History = p
	_, addr := start(t, o)
	for query, says := range map[string]string{
		"":                                     "name 1 to 32 channels",
		"channel=boiler":                       "device/quantity",
		"channel=b/t&from=yesterday":           "2026-11-23T06:00:00Z",
		"channel=b/t&points=0":                 "1 to 10000",
		"channel=b/t&to=-2h&from=-1h":          "before",
		manyChannels(33):                       "1 to 32",
		"channel=b/t&channel=b/t":              "twice",
		"channel=b/t&frm=-1h":                  `\"frm\"`,
		"channel=b/t&from=-1h&from=-2h":        "2 times",
		"channel=b/t&points=":                  "is empty",
		"channel=b/t&to=%":                     "cannot be read",
		"channel=b/t&from=2026-13-01T00:00Z":   "2026-11-23T06:00:00Z",
		"channel=b/t&points=99999999999999999": "1 to 10000",
	} {
		status, _, body := request(t, "http://"+addr+"/api/v1/history?"+query)
		if status != http.StatusBadRequest || !strings.Contains(body, says) {
			t.Errorf("%q is answered with %d %s", query, status, body)
		}
	}
	for query, want := range map[string]int{
		"channel=boiler/temperature":                                     http.StatusOK,
		"channel=boiler/temperature&from=2026-11-23T06:00:00+01:00":      http.StatusOK, // the plus arrives as a space
		"channel=boiler/temperature&from=2026-11-23T06:00:00%2B01:00":    http.StatusOK,
		"channel=boilr/temperature":                                      http.StatusNotFound,
		"channel=boiler/temperature&channel=boiler/tempature&from=-300h": http.StatusNotFound,
	} {
		if status, _, body := request(t, "http://"+addr+"/api/v1/history?"+query); status != want {
			t.Errorf("%q is answered with %d %s", query, status, body)
		}
	}
	request(t, "http://"+addr+"/api/v1/history?channel=boiler/temperature&from=2026-11-23T06:00:00+01:00")
	if want := time.Date(2026, 11, 23, 5, 0, 0, 0, time.UTC); !p.asked.From.Equal(want) {
		t.Errorf("asked from %v, want %v", p.asked.From, want)
	}
	p.err = errors.New("the card is gone")
	status, _, body := request(t, "http://"+addr+"/api/v1/history?channel=b/t")
	if status != http.StatusServiceUnavailable || strings.Contains(body, "the card is gone") {
		t.Errorf("a store that cannot answer gives %d %s", status, body)
	}
}
