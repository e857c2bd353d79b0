package uplink_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/fieldgate/fieldgate/uplink"
)

// A server that knows nothing but text messages gets each reading once, as a
// plain object, over lost connections too as far as anybody can tell; that
// nobody can is said.
func TestServerThatAcknowledgesNothing(t *testing.T) {
	var mu sync.Mutex
	got := map[uint64]int{}
	inTestbed(t, func(w *testbed, o *uplink.Options) {
		o.Unacknowledged = true
		w.store.Append(3000)
		w.store.AppendGap(5, "dropped")
		w.store.Reopen(true)
		w.store.Append(10)
		w.cloud.OnUpgrade = func(a http.ResponseWriter, r *http.Request) bool {
			ws, err := (&websocket.Upgrader{}).Upgrade(a, r, nil)
			if err != nil {
				return true
			}
			defer ws.Close()
			_ = ws.WriteMessage(websocket.TextMessage, []byte(`{"type":"welcome","message":"Connected to IoT server"}`))
			for {
				kind, text, err := ws.ReadMessage()
				if err != nil {
					return true
				}
				var m struct {
					Type, Device_id, Quantity, Timestamp string
					Value                                *float64
					Seq                                  uint64
				}
				if err := json.Unmarshal(text, &m); err != nil || kind != websocket.TextMessage || m.Type != "update" ||
					m.Device_id != "probe" || m.Value == nil || m.Timestamp == "" {
					t.Errorf("got %s (%v)", text, err)
				}
				mu.Lock()
				got[m.Seq]++
				mu.Unlock()
			}
		}
	}, func(w *testbed) {
		count := func(n, times int) func() bool {
			return func() bool {
				mu.Lock()
				defer mu.Unlock()
				return len(got) == n && got[1] == times
			}
		}
		w.until(time.Minute, "all there", count(3000, 2))
		s := w.up.Status()
		if s.State != uplink.Online || s.Level != "unacknowledged" || !strings.Contains(w.condition("uplink_unproved"), "acknowledges nothing") {
			t.Errorf("%+v, %q", s, w.condition("uplink_unproved"))
		}
		if all := w.store.All(); all[0].Acked != 3005 || !all[0].Done || all[1].Acked != 10 {
			t.Errorf("the store takes %+v for sent", all)
		}
		w.pass(10 * time.Minute) // heartbeats
		w.net.Cut()
		w.store.Append(10)
		w.until(time.Minute, "the rest", func() bool { mu.Lock(); defer mu.Unlock(); return got[20] == 2 })
		mu.Lock()
		defer mu.Unlock()
		for seq, n := range got {
			if want := 1 + map[bool]int{true: 1}[seq <= 20]; n != want {
				t.Fatalf("reading %d came %d times, want %d", seq, n, want)
			}
		}
	})
}
