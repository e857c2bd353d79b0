package live

import (
	"log/slog"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/uplink/cloud/cloudtest"
)

// A countingPubSub counts who listens.
type countingPubSub struct {
	cloudtest.PubSub
	begun, ended int
}

func (b *countingPubSub) Subscribe(string, func(string, []byte) []byte) (func(), error) {
	b.begun++
	return func() { b.ended++ }, nil
}

// A hub listens while somebody listens to it, and again for the next one.
func TestHubListensWhileItIsListenedTo(t *testing.T) {
	pubsub := &countingPubSub{}
	h := NewHub(nil, nil, pubsub, slog.Default())
	for n := 1; n <= 3; n++ {
		c, err := h.subscribe(Filter{})
		if err != nil {
			t.Fatal(err)
		}
		h.sweep(time.Now())
		if pubsub.begun != n || pubsub.ended != n-1 {
			t.Fatalf("with client %d: listened %d times, ended %d", n, pubsub.begun, pubsub.ended)
		}
		h.unsubscribe(c)
		h.sweep(time.Now())
		h.sweep(time.Now())
		if pubsub.ended != n {
			t.Fatalf("after client %d: listened %d times, ended %d", n, pubsub.begun, pubsub.ended)
		}
	}
}

// What a client has taken is not counted for it any more.
func TestTakenIsForgotten(t *testing.T) {
	h := NewHub(nil, nil, &cloudtest.PubSub{}, slog.Default())
	c, err := h.subscribe(Filter{})
	if err != nil {
		t.Fatal(err)
	}
	publishValues(t, h, 1, 3)
	h.PresenceChanged("g")
	texts, _, news, _ := h.take(c, nil)
	if len(texts) != 3 || len(news) != 1 {
		t.Fatalf("%d readings and news of %q", len(texts), news)
	}
	if texts, _, news, _ := h.take(c, nil); len(texts)+len(news)+c.queue.Len() != 0 {
		t.Errorf("taken again: %d readings, news of %q, %d queued", len(texts), news, c.queue.Len())
	}
}
