package jetstream_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"

	"github.com/fieldgate/fieldgate/uplink/cloud/jetstream"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
)

// serve starts one nats-server, which ends with the test.
func serve(t *testing.T, change func(*server.Options)) *server.Server {
	t.Helper()
	opt := &server.Options{ServerName: "one", Host: "127.0.0.1", Port: -1, NoSigs: true, JetStream: true,
		StoreDir: t.TempDir(), JetStreamMaxStore: 1 << 30}
	if change != nil {
		change(opt)
	}
	s, err := server.NewServer(opt)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("not ready")
	}
	return s
}

// awaitBroken waits until the log says for good that it is of no more use.
func awaitBroken(t *testing.T, l *jetstream.Log) error {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for start := time.Now(); time.Since(start) < 40*time.Second; <-tick.C {
		if err := l.Broken(); err != nil {
			return err
		}
	}
	t.Fatal("the log says that all is well")
	return nil
}

// TestStreamDeletedUnderTheLog: what sessions and consumers know of places is
// about a stream that is no more. Nothing is stored meanwhile, and whoever
// opens the log again gets an empty one.
func TestStreamDeletedUnderTheLog(t *testing.T) {
	t.Parallel() // most of it is waiting
	for _, c := range []struct {
		name string
		do   func(js natsjs.JetStream, raw natsjs.StreamConfig) error
		says string
	}{
		{"log", func(js natsjs.JetStream, _ natsjs.StreamConfig) error { return js.DeleteStream(t.Context(), "FG_RAW") },
			"stream FG_RAW is gone"},
		{"documents", func(js natsjs.JetStream, _ natsjs.StreamConfig) error { return js.DeleteStream(t.Context(), "FG_DOC") },
			"stream FG_DOC is gone"},
		{"made anew", func(js natsjs.JetStream, raw natsjs.StreamConfig) error {
			err := js.DeleteStream(t.Context(), "FG_RAW")
			_, err2 := js.CreateStream(t.Context(), raw)
			return errors.Join(err, err2)
		}, "stream FG_RAW was deleted and made anew"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, nil)
			told := make(chan error, 10)
			opt := jetstream.Options{URL: s.ClientURL(), Replicas: 1, Interrupted: func(err error) { told <- err }}
			l := open(t, opt)
			w := newWriter(t, l)
			w.add("a", "a")
			raw := l.StreamConfig()
			operator, err := nats.Connect(s.ClientURL())
			if err != nil {
				t.Fatal(err)
			}
			defer operator.Close()
			js, err := natsjs.New(operator)
			if err == nil {
				err = c.do(js, raw)
			}
			if err != nil {
				t.Fatal(err)
			}
			if c.name != "documents" {
				if _, err := l.Append(t.Context(), "a", w.last["a"].Seq, record.Record{ID: "x", Kind: record.KindOpen}); err == nil {
					t.Error("a record was stored behind one that is no more")
				}
			}
			if err := awaitBroken(t, l); !strings.Contains(err.Error(), c.says) {
				t.Errorf("it says %v", err)
			}
			if err := <-told; !strings.Contains(err.Error(), c.says) {
				t.Errorf("sessions are told %v", err)
			}
			l.Close()
			l = open(t, opt)
			want := ""
			if c.name == "documents" {
				want = "a1 a2"
			}
			if got := scan(t, l, 0); got != want {
				t.Errorf("opened again it holds %q, want %q", got, want)
			}
		})
	}
}

// TestOlderServerLater: the connection comes back, but to a server that is too
// old.
func TestOlderServerLater(t *testing.T) {
	s := serve(t, nil)
	broke := make(chan error, 10)
	l := open(t, jetstream.Options{URL: s.ClientURL(), Replicas: 1, Interrupted: func(err error) { broke <- err }})
	addr := s.Addr().String()
	s.Shutdown()
	s.WaitForShutdown()
	<-broke
	if l.Health() == nil {
		t.Error("healthy without a server")
	}
	// Nothing waits to be sent later, behind what was given up.
	if _, err := l.Append(t.Context(), "a", 0, record.Record{ID: "x", Kind: record.KindOpen}); !errors.Is(err, record.ErrUnavailable) ||
		!strings.Contains(err.Error(), "no connection") {
		t.Errorf("append without a server: %v", err)
	}
	if err := l.Broken(); err != nil {
		t.Errorf("a server that is away comes back: %v", err)
	}
	oldServerAt(t, addr, "2.10.22", 1<<20)
	if err := awaitBroken(t, l); !strings.Contains(err.Error(), `"2.10.22"; fieldgate-cloud needs 2.11`) {
		t.Errorf("it says %v", err)
	}
}

// TestLimitsOfAnAccount: an operator's limit on the account or the stream
// means a full log, and a log with room as soon as it is raised.
func TestLimitsOfAnAccount(t *testing.T) {
	s := serve(t, nil)
	l := open(t, jetstream.Options{URL: s.ClientURL(), Replicas: 1})
	w := newWriter(t, l)
	w.add("a")
	refused := func(what string) {
		t.Helper()
		r := record.Record{ID: "x", Prev: w.last["a"].ID, PrevSeq: w.last["a"].Seq, Kind: record.KindOpen, Body: make([]byte, 8<<10)}
		if _, err := l.Append(t.Context(), "a", w.last["a"].Seq, r); !errors.Is(err, record.ErrFull) {
			t.Errorf("%s: %v", what, err)
		}
		if last, err := l.Last(t.Context(), "a"); err != nil || last.ID != w.last["a"].ID {
			t.Errorf("%s: the newest is %s, %v", what, last.ID, err)
		}
	}
	limit := func(n int64) {
		t.Helper()
		err := s.GlobalAccount().UpdateJetStreamLimits(map[string]server.JetStreamAccountLimits{
			"": {MaxMemory: -1, MaxStore: n, MaxStreams: -1, MaxConsumers: -1, MemoryMaxStreamBytes: -1, StoreMaxStreamBytes: -1}})
		if err != nil {
			t.Fatal(err)
		}
	}
	limit(4 << 10)
	refused("the account's limit")
	limit(-1)
	w.add("a")
	stream := func(n int64) {
		t.Helper()
		cfg := l.StreamConfig()
		cfg.MaxBytes = n
		js, err := natsjs.New(l.Conn())
		if err == nil {
			_, err = js.UpdateStream(t.Context(), cfg)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	stream(4 << 10)
	refused("the stream's limit")
	stream(-1)
	w.add("a")
	if got := scan(t, l, 0); got != "a1 a2 a3" {
		t.Errorf("got %s", got)
	}
}

// TestServerWithoutRoomForMore: of many appends at once a server refuses those
// that do not fit its queue. They were not stored, and are when they are tried
// again.
func TestServerWithoutRoomForMore(t *testing.T) {
	s := serve(t, func(o *server.Options) { o.StreamMaxBufferedMsgs = 1 })
	l := open(t, jetstream.Options{URL: s.ClientURL(), Replicas: 1})
	var mu sync.Mutex
	refused := 0
	var all sync.WaitGroup
	for g := range 40 {
		all.Go(func() {
			seq := uint64(0)
			for n := 0; n < 20; {
				next, err := l.Append(t.Context(), fmt.Sprint("g", g), seq,
					record.Record{ID: fmt.Sprintf("g%d-%d", g, n), PrevSeq: seq, Kind: record.KindOpen})
				if err == nil {
					n, seq = n+1, next
					continue
				}
				last, lerr := l.Last(t.Context(), fmt.Sprint("g", g))
				if !errors.Is(err, record.ErrUnavailable) || lerr != nil && !errors.Is(lerr, record.ErrNoRecord) || last.Seq != seq {
					t.Errorf("%v; the newest is at %d, want %d, %v", err, last.Seq, seq, lerr)
					return
				}
				mu.Lock()
				refused++
				mu.Unlock()
			}
		})
	}
	all.Wait()
	t.Logf("%d refused", refused)
	if refused == 0 {
		t.Error("nothing was refused: the test does not see what it is there for")
	}
	if got := len(strings.Fields(scan(t, l, 0))); got != 800 {
		t.Errorf("%d records, want 800", got)
	}
}

// An issuer gives credentials for an account of a server that trusts it.
type issuer struct {
	t       *testing.T
	account nkeys.KeyPair
	file    string
}

// trusting makes a server trust the issuer it gives.
func trusting(t *testing.T, o *server.Options) *issuer {
	t.Helper()
	pair := func(kp nkeys.KeyPair, err error) (nkeys.KeyPair, string) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		public, err := kp.PublicKey()
		if err != nil {
			t.Fatal(err)
		}
		return kp, public
	}
	operator, operatorID := pair(nkeys.CreateOperator())
	account, accountID := pair(nkeys.CreateAccount())
	_, systemID := pair(nkeys.CreateAccount())
	oc := jwt.NewOperatorClaims(operatorID)
	o.TrustedOperators, o.SystemAccount = []*jwt.OperatorClaims{oc}, systemID
	resolver := &server.MemAccResolver{}
	for _, id := range []string{accountID, systemID} {
		claims := jwt.NewAccountClaims(id)
		if id == accountID {
			claims.Limits.JetStreamLimits = jwt.JetStreamLimits{DiskStorage: -1, MemoryStorage: -1, Streams: -1, Consumer: -1}
		}
		text, err := claims.Encode(operator)
		if err == nil {
			err = resolver.Store(id, text)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	o.AccountResolver = resolver
	return &issuer{t, account, filepath.Join(t.TempDir(), "creds")}
}

// issue writes credentials that end at a time.
func (i *issuer) issue(until time.Time) {
	i.t.Helper()
	user, err := nkeys.CreateUser()
	if err != nil {
		i.t.Fatal(err)
	}
	id, err1 := user.PublicKey()
	seed, err2 := user.Seed()
	claims := jwt.NewUserClaims(id)
	claims.Expires = until.Unix()
	text, err3 := claims.Encode(i.account)
	file, err4 := jwt.FormatUserConfig(text, seed)
	if err := errors.Join(err1, err2, err3, err4, os.WriteFile(i.file, file, 0o600)); err != nil {
		i.t.Fatal(err)
	}
}

// TestCredentialsEnd: who has let its credentials expire is told so, and is
// back with new ones; new ones in time are taken without a word.
func TestCredentialsEnd(t *testing.T) {
	t.Parallel() // most of it is waiting
	for _, renewed := range []bool{false, true} {
		t.Run(fmt.Sprintf("renewed=%v", renewed), func(t *testing.T) {
			t.Parallel()
			var by *issuer
			s := serve(t, func(o *server.Options) { by = trusting(t, o) })
			by.issue(time.Now().Add(4 * time.Second))
			broke := make(chan error, 10)
			opt := jetstream.Options{URL: s.ClientURL(), Creds: by.file, Replicas: 1, Interrupted: func(err error) { broke <- err }}
			l := open(t, opt)
			w := newWriter(t, l)
			w.add("a")
			if renewed {
				by.issue(time.Now().Add(time.Hour))
			}
			<-broke // sessions end
			if !renewed {
				if err := awaitBroken(t, l); !strings.Contains(err.Error(), "--nats-creds") {
					t.Errorf("it says %v", err)
				}
				if _, err := jetstream.Open(t.Context(), opt); err == nil || !strings.Contains(err.Error(), "--nats-creds") {
					t.Errorf("opening it again: %v", err)
				}
				by.issue(time.Now().Add(time.Hour))
				l.Close()
				l = open(t, opt)
				w.l = l
			}
			w.settled("a")
			if got := scan(t, l, 0); got != "a1 a2" {
				t.Errorf("got %s", got)
			}
		})
	}
}

// TestOneServerIsNoNews: sessions on a single server are not ended because it
// leads its own streams, as it did when the log was opened.
func TestOneServerIsNoNews(t *testing.T) {
	t.Parallel() // it is all waiting
	s := serve(t, nil)
	broke := make(chan error, 10)
	l := open(t, jetstream.Options{URL: s.ClientURL(), Replicas: 1, Interrupted: func(err error) { broke <- err }})
	select {
	case err := <-broke:
		t.Errorf("told of %v", err)
	case <-time.After(jetstream.LookEvery + time.Second):
	}
	newWriter(t, l).add("a")
}
