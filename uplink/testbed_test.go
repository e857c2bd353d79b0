package uplink_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/health"
	"github.com/fieldgate/fieldgate/uplink"
	"github.com/fieldgate/fieldgate/uplink/uplinktest"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	token   = "fg1_plant-7_c0ffee5ec2e7c0ffee5ec2e7"
	canary  = "c0ffee5ec2e7c0ffee5ec2e7"
	address = "cloud.test:443"
)

// A testbed is one gateway and one cloud on a network in memory, in a bubble.
type testbed struct {
	*testing.T
	net   *uplinktest.Network
	ca    *uplinktest.CA
	cloud *uplinktest.Cloud
	store *uplinktest.Store
	table *health.Table
	up    *uplink.Uplink
	log   *buffer

	certBegin time.Time   // of the cloud's certificate
	closers   []io.Closer // of what setup opened
	dialled   []time.Time // by refuseAll

	stop  context.CancelFunc
	ended chan struct{}
}

// inTestbed runs test with a world whose parts setup may change before the cloud
// serves and the uplink runs.
func inTestbed(t *testing.T, setup func(w *testbed, o *uplink.Options), test func(w *testbed)) {
	synctest.Test(t, func(t *testing.T) {
		log := &buffer{}
		logger := slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		ca, err := uplinktest.NewCA()
		if err != nil {
			t.Fatal(err)
		}
		w := &testbed{
			T: t, ca: ca, net: &uplinktest.Network{}, cloud: &uplinktest.Cloud{Token: token}, store: uplinktest.NewStore(),
			table: health.New(logger), log: log, ended: make(chan struct{}),
			certBegin: time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC),
		}
		o := uplink.Options{
			Route: uplink.Route{
				URL:         "wss://cloud.test/v1/gateway?secret=in-query",
				Authorities: func() (*x509.CertPool, error) { return ca.Pool, nil }, Dial: w.net.Dial,
			},
			Identity: uplink.Identity{
				GatewayID: "plant-7", Software: "fieldgate/test",
				Credential: uplinktest.Token(func() (string, error) { return token + "\n", nil }),
			},
			Store: uplink.Store{Source: w.store}, Time: uplink.Time{Clock: boardClock{time.Now()}},
			Conditions: w.table, Log: logger,
		}
		if setup != nil {
			setup(w, &o)
		}
		// The bubble's clock begins on 2000-01-01.
		secure, err := ca.Server("cloud.test", w.certBegin, w.certBegin.AddDate(4, 0, 0))
		if err != nil {
			t.Fatal(err)
		}
		w.cloud.Serve(w.net.Listen(address), secure)
		w.up, err = uplink.New(o)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		w.stop = cancel
		go func() {
			defer close(w.ended)
			_ = w.up.Run(ctx)
		}()
		defer func() { // also after Fatal: a bubble must not end with goroutines in it
			cancel()
			<-w.ended
			w.cloud.Close()
			for _, c := range w.closers {
				_ = c.Close()
			}
			w.net.Cut()
			w.net.Wait()
			w.checkSecrets()
		}()
		test(w)
	})
}

// pass lets virtual time go by, and everything that falls due happen.
func (w *testbed) pass(d time.Duration) {
	time.Sleep(d) // virtual
	synctest.Wait()
}

// until lets time go by in steps until ok, at most for limit.
func (w *testbed) until(limit time.Duration, what string, ok func() bool) {
	w.Helper()
	for end := time.Now().Add(limit); !ok(); w.pass(100 * time.Millisecond) {
		if time.Now().After(end) {
			w.Fatalf("after %v: not %s; status %+v, conditions %+v\n%s", limit, what, w.up.Status(), w.table.List(), w.log)
		}
	}
}

func (w *testbed) online() {
	w.Helper()
	w.until(time.Minute, "online", func() bool { return w.up.Status().State == uplink.Online })
}

// complete waits until the cloud holds all that the store has, and checks that
// it got every name once.
func (w *testbed) complete(limit time.Duration) {
	w.Helper()
	w.until(limit, "complete", func() bool {
		for _, st := range w.store.All() {
			h := w.cloud.Held(st.ID)
			if h.Upto < st.Last || st.Growth != gateway.Growing && !h.Done {
				return false
			}
		}
		return true
	})
	for _, st := range w.store.All() {
		w.contiguous(st, w.cloud.Held(st.ID))
	}
}

func (w *testbed) contiguous(st gateway.EpochState, h uplinktest.Held) {
	w.Helper()
	next := uint64(1)
	for _, taken := range h.Taken {
		if taken.From != next {
			w.Errorf("epoch %v: took %d to %d, expected from %d on", st.ID, taken.From, taken.To, next)
		}
		next = taken.To + 1
		at := taken.First
		for _, b := range taken.Blocks {
			r, err := uplinktest.Content(b)
			if err != nil || r.Epoch != st.ID || r.First != at {
				w.Errorf("update of %d from %d carries %+v at %d (%v)", taken.N, taken.First, r, at, err)
			}
			at += r.N
		}
		if taken.Blocks != nil && at != taken.First+taken.N {
			w.Errorf("update of %d from %d carries readings up to %d", taken.N, taken.First, at-1)
		}
	}
	if h.Upto != next-1 {
		w.Errorf("epoch %v: upto %d, taken up to %d", st.ID, h.Upto, next-1)
	}
}

// condition gives the sentence of a condition, "" if it does not hold.
func (w *testbed) condition(code string) string {
	for _, c := range w.table.List() {
		if c.Code == code {
			return c.Sentence
		}
	}
	return ""
}

// says waits for a condition and checks its words.
func (w *testbed) says(code string, words ...string) {
	w.Helper()
	w.until(2*time.Minute, code, func() bool { return w.condition(code) != "" })
	for _, word := range words {
		if !strings.Contains(w.condition(code), word) {
			w.Errorf("%s says %q, without %q", code, w.condition(code), word)
		}
		if !strings.Contains(w.up.Status().LastError, word) {
			w.Errorf("status says %q, without %q", w.up.Status().LastError, word)
		}
	}
	if n := strings.Count(w.log.String(), "condition="+code); n != 1 {
		w.Errorf("%s is told %d times:\n%s", code, n, w.log)
	}
}

func (w *testbed) checkSecrets() {
	w.Helper()
	for _, c := range w.table.List() {
		w.log.add(c.Sentence)
	}
	w.log.add(w.up.Status().LastError)
	w.log.add(w.up.Status().Endpoint)
	for _, secret := range []string{canary, "in-query"} {
		if strings.Contains(w.log.String(), secret) {
			w.Errorf("%q is told:\n%s", secret, w.log)
		}
	}
}

func (w *testbed) growing() gateway.EpochID {
	all := w.store.All()
	return all[len(all)-1].ID
}

// updates makes the cloud count what comes before it handles it.
func (w *testbed) updates() func() []wire.Update {
	var mu sync.Mutex
	var got []wire.Update
	inner := w.cloud.OnUpdate
	w.cloud.OnUpdate = func(p *uplinktest.Peer, m *wire.Update) bool {
		mu.Lock()
		got = append(got, *m)
		mu.Unlock()
		return inner != nil && inner(p, m)
	}
	return func() []wire.Update {
		mu.Lock()
		defer mu.Unlock()
		return got[:len(got):len(got)]
	}
}

type boardClock struct{ boot time.Time }

func (c boardClock) Stamp() gateway.Stamp { return gateway.Stamp(time.Since(c.boot).Microseconds()) }
func (c boardClock) Anchor() gateway.Anchor {
	return gateway.Anchor{Boot: gateway.BootID{7}, Offset: 3_000_000, Quality: gateway.ClockRTC, Error: time.Second}
}

type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) add(s string) { _, _ = b.Write([]byte(s + "\n")) }

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
