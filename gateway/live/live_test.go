package live_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/live"
)

func channels(n int) []*gateway.Channel {
	list := make([]*gateway.Channel, n)
	for i := range list {
		list[i] = &gateway.Channel{Device: fmt.Sprintf("d%03d", i), Quantity: "temperature", Unit: "Cel"}
	}
	return list
}

// A source publishes readings with consecutive names, the value being the seq.
type source struct {
	hub   *live.Hub
	epoch gateway.EpochID
	seq   uint64
}

func (s *source) publish(chs ...*gateway.Channel) {
	rs := make([]gateway.Reading, len(chs))
	for i, c := range chs {
		rs[i] = gateway.Reading{Channel: c, Value: float64(s.seq + 1 + uint64(i))}
	}
	s.hub.Publish(gateway.Name{Epoch: s.epoch, Seq: s.seq + 1}, rs)
	s.seq += uint64(len(rs))
}

func newSource() *source { return &source{hub: live.New(), epoch: gateway.NewEpochID()} }

func take(t *testing.T, s *live.Subscription) ([]live.Update, uint64) {
	t.Helper()
	us, lost, err := s.Take(nil)
	if err != nil {
		t.Fatalf("Take: %v", err)
	}
	return us, lost
}

func TestSnapshotThenStreamWithoutHoleOrRepeat(t *testing.T) {
	src, chs := newSource(), channels(3)
	src.publish(chs[0], chs[1])
	src.publish(chs[0])
	sub, last := src.hub.Subscribe()
	defer sub.Close()
	if len(last) != 2 || last[0].Name.Seq != 3 || last[1].Name.Seq != 2 || last[0].Value != 3 {
		t.Fatalf("snapshot is %+v, want seq 3 of the first channel and seq 2 of the second", last)
	}
	src.publish(chs[2], chs[0])
	<-sub.Ready()
	us, lost := take(t, sub)
	if len(us) != 2 || lost != 0 || us[0].Name != (gateway.Name{Epoch: src.epoch, Seq: 4}) || us[1].Name.Seq != 5 {
		t.Fatalf("stream is %+v (lost %d), want seq 4 and 5", us, lost)
	}
	if us, _ := take(t, sub); len(us) != 0 {
		t.Fatalf("second Take gives %+v again", us)
	}
	if last := src.hub.Last(); len(last) != 3 || last[0].Name.Seq != 5 {
		t.Fatalf("Last is %+v, want three channels, the first at seq 5", last)
	}
}

func TestConflationKeepsNewestAndCounts(t *testing.T) {
	src, chs := newSource(), channels(200)
	sub, _ := src.hub.Subscribe()
	defer sub.Close()
	src.publish(chs...) // one of each, then one hot channel floods
	for range 1000 {
		src.publish(chs[7])
	}
	us, lost := take(t, sub)
	if len(us) != 256 || uint64(len(us))+lost != src.seq {
		t.Fatalf("%d taken + %d lost, want 256 taken and %d in all", len(us), lost, src.seq)
	}
	newest := map[*gateway.Channel]uint64{}
	for i, u := range us {
		if i > 0 && u.Name.Seq <= us[i-1].Name.Seq {
			t.Fatalf("seq %d comes after %d", u.Name.Seq, us[i-1].Name.Seq)
		}
		newest[u.Channel] = u.Name.Seq
	}
	if len(newest) != 200 || newest[chs[7]] != src.seq || newest[chs[8]] != 9 {
		t.Fatalf("%d channels, hot one at %d, quiet one at %d; want 200, %d, 9",
			len(newest), newest[chs[7]], newest[chs[8]], src.seq)
	}
	src.publish(chs[0])
	if _, lost := take(t, sub); lost != 0 {
		t.Fatalf("lost %d was counted twice", lost)
	}
}

func TestMoreChannelsThanTheQueueHolds(t *testing.T) {
	src, chs := newSource(), channels(300)
	sub, _ := src.hub.Subscribe()
	defer sub.Close()
	src.publish(chs...)
	us, lost := take(t, sub)
	if len(us) != 256 || lost != 44 || us[0].Name.Seq != 45 {
		t.Fatalf("%d taken from seq %d, %d lost; want 256 from 45, 44 lost", len(us), us[0].Name.Seq, lost)
	}
}

func TestSlowClientIsDroppedAfterThirtySeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src, chs := newSource(), channels(1)
		stuck, _ := src.hub.Subscribe()
		defer stuck.Close()
		flood := func() {
			for range 300 {
				src.publish(chs[0])
			}
		}
		flood()
		time.Sleep(30 * time.Second) // virtual
		flood()
		if _, lost, err := stuck.Take(nil); err != nil || lost == 0 {
			t.Fatalf("after 30 s: lost %d, %v; want losses but no end yet", lost, err)
		}
		time.Sleep(time.Millisecond)
		flood()
		if us, _, err := stuck.Take(nil); !errors.Is(err, live.ErrSlow) || len(us) != 256 {
			t.Fatalf("after more than 30 s: %d updates, %v; want ErrSlow", len(us), err)
		}
		stuck.Close()
	})
}

func TestClientThatCatchesUpIsForgiven(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src, chs := newSource(), channels(1)
		sub, _ := src.hub.Subscribe()
		defer sub.Close()
		for range 5 {
			for range 300 {
				src.publish(chs[0])
			}
			<-sub.Ready()
			take(t, sub)
			<-sub.Ready()
			take(t, sub) // nothing waits: caught up
			time.Sleep(20 * time.Second)
		}
	})
}

func TestClosedSubscriptionGetsNothing(t *testing.T) {
	src, chs := newSource(), channels(1)
	sub, _ := src.hub.Subscribe()
	sub.Close()
	sub.Close()
	src.publish(chs[0])
	if us, lost := take(t, sub); len(us) != 0 || lost != 0 {
		t.Fatalf("got %d updates, %d lost after Close", len(us), lost)
	}
}

func TestPublishDoesNotAllocate(t *testing.T) {
	src, chs := newSource(), channels(20)
	rs := make([]gateway.Reading, len(chs))
	for i, c := range chs {
		rs[i] = gateway.Reading{Channel: c}
	}
	publish := func() { src.hub.Publish(gateway.Name{Seq: 1}, rs) }
	publish()
	if n := testing.AllocsPerRun(100, publish); n != 0 {
		t.Errorf("%v allocations per Publish with nobody listening, want 0", n)
	}
	sub, _ := src.hub.Subscribe()
	defer sub.Close()
	publish()
	if n := testing.AllocsPerRun(100, publish); n != 0 {
		t.Errorf("%v allocations per Publish with a client that does not read, want 0", n)
	}
}

// Several publishers and subscribers that come and go: for the race detector,
// and every reading is either taken or counted as lost.
func TestManyAtOnce(t *testing.T) {
	hub, chs := live.New(), channels(4)
	subs := make([]*live.Subscription, 3)
	for i := range subs {
		subs[i], _ = hub.Subscribe()
	}
	const each = 2000
	var publishers, readers sync.WaitGroup
	stop := make(chan struct{})
	for _, c := range chs {
		publishers.Go(func() {
			for i := range each {
				hub.Publish(gateway.Name{Seq: uint64(i + 1)}, []gateway.Reading{{Channel: c}})
			}
		})
	}
	for _, s := range subs {
		readers.Go(func() { drain(t, s, stop, each*len(chs)) })
	}
	for range 50 {
		s, _ := hub.Subscribe()
		s.Close()
	}
	publishers.Wait()
	close(stop)
	readers.Wait()
}

func drain(t *testing.T, s *live.Subscription, stop <-chan struct{}, want int) {
	defer s.Close()
	got := 0
	for running := true; running; {
		select {
		case <-s.Ready():
		case <-stop:
			running = false
		}
		us, lost, err := s.Take(nil)
		if err != nil {
			t.Errorf("Take: %v", err)
		}
		got += len(us) + int(lost)
	}
	if got != want {
		t.Errorf("%d taken and lost, want %d", got, want)
	}
}

func BenchmarkPublish(b *testing.B) {
	for _, listeners := range []int{0, 1, 10} {
		b.Run(fmt.Sprintf("stuck-listeners=%d", listeners), func(b *testing.B) {
			src, chs := newSource(), channels(20)
			for range listeners {
				s, _ := src.hub.Subscribe()
				defer s.Close()
			}
			rs := []gateway.Reading{{Channel: chs[0]}}
			for i := 0; b.Loop(); i++ {
				rs[0].Channel = chs[i%20]
				src.hub.Publish(gateway.Name{Seq: uint64(i)}, rs)
			}
		})
	}
}
