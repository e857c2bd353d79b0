package live

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/cloud/cloudtest"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// publishValues hands a hub an update of n channels, all with the value v.
func publishValues(t *testing.T, h *Hub, seq uint64, n int) {
	t.Helper()
	hist := cloudtest.NewHistory()
	e := gateway.EpochID{1}
	var rs []gateway.Reading
	for i := range n {
		rs = append(rs, gateway.Reading{Channel: &gateway.Channel{Device: "d", Quantity: fmt.Sprintf("q%d", i)},
			Value: float64(seq), At: gateway.Stamp(seq)})
	}
	b, err := hist.Enc.Append(nil, gateway.BlockHeader{Range: gateway.Range{Epoch: e, First: seq}, Anchor: cloudtest.BootAnchor(e)}, rs)
	if err != nil {
		t.Fatal(err)
	}
	body, err := wire.Encode(&wire.Update{Lane: wire.LaneLive, Epoch: e, First: seq, N: uint64(n), Blocks: [][]byte{b}})
	if err != nil {
		t.Fatal(err)
	}
	h.hear("g", seq, body)
}

// A client that falls behind loses the older readings of each channel first,
// learns how many, and is dropped when it goes on losing for 30 s.
func TestSlowLiveClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHub(nil, nil, &cloudtest.PubSub{}, slog.Default())
		c, err := h.subscribe(Filter{})
		if err != nil {
			t.Fatal(err)
		}
		h.begin(c)
		seq := uint64(1)
		for range 100 {
			publishValues(t, h, seq, 10)
			seq += 10
		}
		texts, lost, _, err := h.take(c, nil)
		if len(texts) != maxQueue || lost != 1000-maxQueue || err != nil {
			t.Fatalf("%d messages, %d lost, %v", len(texts), lost, err)
		}
		if got := string(withLost(texts[0], lost)); got[len(got)-12:] != `,"lost":744}` {
			t.Errorf("%s", got)
		}
		for i, text := range texts[len(texts)-10:] { // the newest of every channel
			if want := fmt.Sprintf(`"quantity":"q%d","value":%d,`, i, 991); !strings.Contains(string(text), want) {
				t.Errorf("%s lacks %s", text, want)
			}
		}
		// It keeps up for long, then loses one: that is no reason yet.
		time.Sleep(time.Hour)
		for range 26 {
			if _, _, _, err := h.take(c, nil); err != nil {
				t.Fatal(err)
			}
			publishValues(t, h, seq, 10)
			seq += 10
		}
		before := h.Lost.Load()
		for range 27 {
			publishValues(t, h, seq, 10)
			seq += 10
		}
		if lost := h.Lost.Load() - before; c.queue.Slow() || lost == 0 {
			t.Errorf("after the first loss: slow %v, %d lost", c.queue.Slow(), lost)
		}
		for end := time.Now().Add(patience + 2*time.Second); time.Now().Before(end); time.Sleep(time.Second) {
			for range 27 {
				publishValues(t, h, seq, 10)
				seq += 10
			}
		}
		if _, _, _, err := h.take(c, nil); !errors.Is(err, errSlowClient) {
			t.Errorf("after 32 s of losses: %v", err)
		}
		if len(h.clients) != 0 {
			t.Error("it is still served")
		}
	})
}

// A channel that says little is not crowded out by one that says much.
func TestQuietSeriesStays(t *testing.T) {
	h := NewHub(nil, nil, &cloudtest.PubSub{}, slog.Default())
	c, err := h.subscribe(Filter{})
	if err != nil {
		t.Fatal(err)
	}
	publishValues(t, h, 1, 3) // q2 is not told again
	for i := range uint64(2 * maxQueue) {
		publishValues(t, h, 4+2*i, 2)
	}
	texts, _, _, _ := h.take(c, nil)
	if !slices.ContainsFunc(texts, func(b []byte) bool { return strings.Contains(string(b), `"quantity":"q2"`) }) {
		t.Error("the only value of q2 was left out")
	}
}

// Of an update that overlaps what was stored before, only the rest is told.
func TestOverlapIsSentOnce(t *testing.T) {
	h := NewHub(nil, nil, &cloudtest.PubSub{}, slog.Default())
	c, err := h.subscribe(Filter{})
	if err != nil {
		t.Fatal(err)
	}
	hist := cloudtest.NewHistory()
	body, err := wire.Encode(hist.Data(gateway.EpochID{1}, 1, 5))
	if err != nil {
		t.Fatal(err)
	}
	h.hear("g", 4, body)
	if texts, _, _, _ := h.take(c, nil); len(texts) != 2 {
		t.Errorf("%d readings told, want 2", len(texts))
	}
}

// A racingKV lets somebody else in between Get and what follows.
type racingKV struct {
	cloudtest.KV
	between func()
}

func (s *racingKV) Get(ctx context.Context, key string) (record.Doc, error) {
	d, err := s.KV.Get(ctx, key)
	if f := s.between; f != nil {
		s.between = nil
		f()
	}
	return d, err
}

// Two who come with the same ticket at the same time: one gets in.
func TestTicketIsGoodOnce(t *testing.T) {
	kv := &racingKV{}
	here, there := &Tickets{KV: kv}, &Tickets{KV: kv}
	ticket, err := here.Issue(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var second bool
	kv.between = func() { second = there.Redeem(t.Context(), ticket) }
	if first := here.Redeem(t.Context(), ticket); first || !second {
		t.Errorf("let in: %v and %v", first, second)
	}
	synctest.Test(t, func(t *testing.T) {
		late := &Tickets{KV: &cloudtest.KV{}}
		ticket, err := late.Issue(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(TicketTTL + time.Second)
		if late.Redeem(t.Context(), ticket) {
			t.Error("an old ticket is good")
		}
	})
}

// Which of two readings is newer is told by seqs, by stamps of one boot, and
// by wall times only where both may be believed.
func TestNewerReading(t *testing.T) {
	ntp := func(boot byte, offset int64) gateway.Anchor {
		return gateway.Anchor{Boot: gateway.BootID{boot}, Offset: offset, Quality: gateway.ClockNTP}
	}
	base := reading{epoch: gateway.EpochID{1}, seq: 10, at: 100, anchor: ntp(1, 1000)}
	for name, c := range map[string]struct {
		r    reading
		want bool
	}{
		"later seq":                          {reading{epoch: base.epoch, seq: 11, at: 90, anchor: base.anchor}, true},
		"earlier seq":                        {reading{epoch: base.epoch, seq: 9, at: 110, anchor: base.anchor}, false},
		"same boot, later":                   {reading{epoch: gateway.EpochID{2}, seq: 1, at: 101, anchor: ntp(1, 0)}, true},
		"same boot, earlier, clock set back": {reading{epoch: gateway.EpochID{2}, seq: 1, at: 99, anchor: ntp(1, 5000)}, false},
		"next boot, later":                   {reading{epoch: gateway.EpochID{2}, seq: 1, at: 1, anchor: ntp(2, 2000)}, true},
		"another boot, earlier":              {reading{epoch: gateway.EpochID{2}, seq: 1, at: 1, anchor: ntp(2, 500)}, false},
		"next boot, no clock": {
			reading{epoch: gateway.EpochID{2}, seq: 1, at: 1, anchor: gateway.Anchor{Boot: gateway.BootID{2}}}, true,
		},
	} {
		if got := c.r.newer(&base); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// Nobody asks: nothing is decoded, and what was at hand is forgotten.
func TestFeedHubForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHub(nil, nil, &cloudtest.PubSub{}, slog.Default())
		publishValues(t, h, 1, 3)
		if len(h.warm) != 0 {
			t.Error("decoded for nobody")
		}
		c, err := h.subscribe(Filter{Gateways: []string{"g"}})
		if err != nil {
			t.Fatal(err)
		}
		publishValues(t, h, 1, 3)
		time.Sleep(time.Hour)
		h.sweep(time.Now())
		if len(h.warm) != 1 {
			t.Error("forgotten while a client listens")
		}
		h.unsubscribe(c)
		h.sweep(time.Now())
		if len(h.warm) != 0 {
			t.Error("kept for nobody")
		}
	})
}

// A gateway that makes up names without end does not fill the memory of a
// server to which somebody listens.
func TestSeriesAreBounded(t *testing.T) {
	w := &warmGateway{series: map[seriesKey]*series{}}
	for i := range 3 * maxSeries {
		for range 2 { // what is known already makes no room
			w.keep("g", reading{channel: &gateway.Channel{Device: "d", Quantity: fmt.Sprint(i)}, seq: uint64(i)})
		}
		if len(w.order) != len(w.series) || len(w.order) > maxSeries || len(w.order) < min(i, maxSeries/2) {
			t.Fatalf("after %d names: %d in order, %d by name", i+1, len(w.order), len(w.series))
		}
	}
	if got := w.values(); got[len(got)-1].seq != 3*maxSeries-1 {
		t.Errorf("the newest is %d", got[len(got)-1].seq)
	}
}
