package cloud

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/cloud/cloudtest"
)

// TestCommandsThatExpiredMakeRoom: a gateway that is away has room for as many
// commands as wait now, not for as many as ever waited; and to post one again
// needs none.
func TestCommandsThatExpiredMakeRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newDispatch(Options{KV: &cloudtest.KV{}, PubSub: &memBus{}, Logger: slog.New(slog.DiscardHandler)})
		api := &commandAPI{dispatch: c}
		doc := func(id string) commandDoc {
			d, err := parseCommand(fmt.Appendf(nil, `{"id":%q,"device_id":"pump","action":"set","value":1}`, id), "g", time.Now())
			if err != nil {
				t.Fatal(err)
			}
			return d
		}
		for i := range commandsPending {
			if err := c.shelf.put(t.Context(), doc(fmt.Sprint("c", i)), 0); err != nil {
				t.Fatal(err)
			}
		}
		_, err := api.place(t.Context(), doc("more"))
		var r *refusal
		if !errors.As(err, &r) || r.status != http.StatusTooManyRequests {
			t.Errorf("one more: %v", err)
		}
		if d, err := api.place(t.Context(), doc("c7")); err != nil || d.State != commandQueued {
			t.Errorf("one of them again: %v, %v", d.State, err)
		}
		time.Sleep(defaultTTL + time.Second)
		if d, err := api.place(t.Context(), doc("more")); err != nil || d.State != commandQueued {
			t.Errorf("when they have expired: %v, %v", d.State, err)
		}
		if d := doc("c7").shown(time.Now().Add(time.Hour)); d.State != gateway.CommandExpired {
			t.Errorf("shown as %s", d.State)
		}
	})
}
