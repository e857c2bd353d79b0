package command

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
		c := NewDispatcher(&cloudtest.KV{}, &cloudtest.PubSub{}, slog.New(slog.DiscardHandler), func(Command) {})
		doc := func(id string) Command {
			d, err := Parse(fmt.Appendf(nil, `{"id":%q,"device_id":"pump","action":"set","value":1}`, id), "g", time.Now())
			if err != nil {
				t.Fatal(err)
			}
			return d
		}
		for i := range maxPending {
			if err := c.Store.put(t.Context(), doc(fmt.Sprint("c", i)), 0); err != nil {
				t.Fatal(err)
			}
		}
		_, err := c.Submit(t.Context(), doc("more"))
		var r *Refusal
		if !errors.As(err, &r) || r.Status != http.StatusTooManyRequests {
			t.Errorf("one more: %v", err)
		}
		if d, err := c.Submit(t.Context(), doc("c7")); err != nil || d.State != Queued {
			t.Errorf("one of them again: %v, %v", d.State, err)
		}
		time.Sleep(defaultTTL + time.Second)
		if d, err := c.Submit(t.Context(), doc("more")); err != nil || d.State != Queued {
			t.Errorf("when they have expired: %v, %v", d.State, err)
		}
		if d := doc("c7").Shown(time.Now().Add(time.Hour)); d.State != gateway.CommandExpired {
			t.Errorf("shown as %s", d.State)
		}
	})
}
