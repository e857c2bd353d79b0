package cloud_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
)

// A deadlineCounter notes how much was written under each deadline.
type deadlineCounter struct {
	*httptest.ResponseRecorder
	under []int // bytes
}

func (d *deadlineCounter) SetWriteDeadline(time.Time) error {
	d.under = append(d.under, 0)
	return nil
}

func (d *deadlineCounter) Write(b []byte) (int, error) {
	if len(d.under) == 0 {
		d.under = append(d.under, 0)
	}
	d.under[len(d.under)-1] += len(b)
	return d.ResponseRecorder.Write(b)
}

// A record may be tens of MB of lines: a slow line gets its time for each part
// of them, not for all together.
func TestSlowReaderOfALargeRecord(t *testing.T) {
	s := newSite(t, nil)
	e := gateway.NewEpochID()
	p, _ := s.open(e)
	p.acked(readings(t, e, 1, 60_000, 60_000))
	for _, format := range []string{"ndjson", "csv"} {
		req := httptest.NewRequest(http.MethodGet, "/v1/gateways/"+s.id+"/readings?format="+format, nil)
		req.Header.Set("Authorization", "Bearer "+operatorToken)
		d := &deadlineCounter{ResponseRecorder: httptest.NewRecorder()}
		s.server.ServeHTTP(d, req)
		most, all := 0, 0
		for _, n := range d.under {
			most, all = max(most, n), all+n
		}
		if d.Code != 200 || all < 1<<20 || most > 128<<10 {
			t.Errorf("%s: %d, %d bytes, up to %d of them under one deadline", format, d.Code, all, most)
		}
	}
}

// Times that no calendar has are a gateway's own affair: questions about it are
// answered all the same.
func TestTimesOutOfTheCalendar(t *testing.T) {
	s := newSite(t, nil)
	e := gateway.NewEpochID()
	p, _ := s.open(e)
	p.acked(readings(t, e, 1, 3, 3))
	for i, offset := range []int64{1 << 60, -1 << 60, 1<<63 - 1, -1 << 63} {
		g := gap(e, 4+uint64(i), 1)
		g.Gap.Anchor.Offset, g.Gap.Anchor.Boot = offset, gateway.BootID{byte(i)}
		p.acked(g)
	}
	end := openEnd(e, 7)
	anchor := *end.End.Anchor
	anchor.Offset, anchor.Boot = 1<<60, gateway.BootID{9}
	end.End.Anchor = &anchor
	p.acked(end)
	for _, path := range []string{"/completeness", "/readings", "/readings?from=-1h", "/readings?format=csv", ""} {
		req := httptest.NewRequest(http.MethodGet, "/v1/gateways/"+s.id+path, nil)
		req.Header.Set("Authorization", "Bearer "+operatorToken)
		w := httptest.NewRecorder()
		s.server.ServeHTTP(w, req)
		if w.Code != 200 || w.Body.Len() == 0 && path != "/readings?from=-1h" {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
}
