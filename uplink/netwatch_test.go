package uplink_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/gateway/netwatch"
	"github.com/fieldgate/fieldgate/packaging/e2e"
	"github.com/fieldgate/fieldgate/uplink"
)

// A gateway that waits for its next try connects at once when the interface
// comes up through which its cloud is reached.
func TestConnectsWhenAnInterfaceComesUp(t *testing.T) {
	t.Parallel()
	if !e2e.OwnNetwork(t) {
		return
	}
	s := onLoopback(t) // listens on 127.0.0.1, which is down yet
	e2e.IP(t, "link add gw0 type veth peer name cloud0")
	s.run(s.options())
	watchLinks(t, s.up.Wake)
	s.until("in a pause of more than 4 s", func() bool {
		st := s.up.Status()
		return st.State == uplink.Waiting && time.Until(st.NextTry) > 4*time.Second
	})
	next := s.up.Status().NextTry
	e2e.IP(t, "addr add 127.0.0.1/8 dev lo")
	e2e.IP(t, "link set lo up")
	<-time.After(linksSettle) // of loopback nothing is told
	if st := s.up.Status(); st.State != uplink.Waiting {
		t.Errorf("loopback woke it: %+v", st)
	}
	e2e.IP(t, "link set cloud0 up")
	e2e.IP(t, "addr add 192.0.2.1/24 dev gw0")
	e2e.IP(t, "link set gw0 up")
	s.online()
	if early := time.Until(next); early <= 0 {
		t.Errorf("waited for the end of its pause; %+v\n%s", s.up.Status(), s.log)
	} else {
		t.Logf("tried %v before the end of its pause", early.Round(time.Millisecond))
	}
}

// linksSettle is longer than what gathers messages of the kernel.
const linksSettle = 400 * time.Millisecond

func watchLinks(t *testing.T, wake func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- netwatch.Run(ctx, wake, slog.New(slog.DiscardHandler)) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
