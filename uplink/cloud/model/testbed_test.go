package model

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/store/storetest"
	"github.com/fieldgate/fieldgate/uplink/cloud"
	"github.com/fieldgate/fieldgate/uplink/cloud/cloudtest"
	"github.com/fieldgate/fieldgate/uplink/cloud/jetstream"
	"github.com/fieldgate/fieldgate/uplink/cloud/keyring"
	"github.com/fieldgate/fieldgate/uplink/uplinktest"
)

const gatewayID = "plant-7"

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// A testbed is a gateway's cards and boards, a cloud of two servers, and the
// network between them, in a bubble. One goroutine does the steps.
type testbed struct {
	*testing.T
	r     *rand.Rand
	root  string // of all folders
	names int    // of folders
	net   uplinktest.Network
	ca    *uplinktest.CA
	creds keyring.Credentials
	token string

	log     *faulty
	kv      cloudtest.KV // what no fault of the log touches
	logDir  string
	logs    []storetest.Dir // the log's folder as it was before
	servers [2]*server

	boards []*board // the original first, then at most one copy of its card
	images []image
	ledger ledger
	last   float64 // value of the newest reading: no two are alike

	seen  counts   // what came of them
	small bool     // the card has room for little
	story []string // the steps, for who must find out
	stuck []string // boards that did not come to an end
	drawn map[string]int
}

// A server is one instance of the cloud.
type server struct {
	at    string
	gate  *gate
	cloud *cloud.Server
	stop  func() // and wait
}

func newTestbed(t *testing.T, l life) *testbed {
	w := &testbed{T: t, r: rand.New(rand.NewPCG(l.seed, 1)), root: scratch(t), ledger: newLedger(), drawn: map[string]int{}}
	ca, err := uplinktest.NewCA()
	w.must(err)
	w.ca = ca
	w.creds = keyring.Credentials{Dir: w.folder()}
	w.token, err = w.creds.Add(gatewayID)
	w.must(err)
	w.log = &faulty{hearers: map[*hearer]bool{}, r: rand.New(rand.NewPCG(l.seed, 2))}
	if l.ruleOff != nil {
		w.log.ruleOff = l.ruleOff()
	}
	w.openLog(w.folder())
	for i := range w.servers {
		w.servers[i] = &server{at: fmt.Sprintf("cloud-%d.test", i)}
		w.serve(w.servers[i])
	}
	w.small = l.small
	w.ledger.full = w.small
	w.boards = []*board{w.newBoard(w.folder())}
	return w
}

// scratch gives a folder in memory, if there is one: a power cut is a copy
// here, nothing depends on the disk.
func scratch(t *testing.T) string {
	dir, err := os.MkdirTemp("/dev/shm", "fieldgate-model-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func (w *testbed) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// folder names one that is not there yet.
func (w *testbed) folder() string {
	w.names++
	return filepath.Join(w.root, fmt.Sprint(w.names))
}

// pass lets virtual time go by, and everything that falls due happen.
func (w *testbed) pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// close ends everything, also after a step has failed.
func (w *testbed) close() {
	for _, b := range w.boards {
		b.stop()
	}
	w.net.Cut()
	for _, s := range w.servers {
		s.stop()
	}
	w.log.late.Wait()
	if l := w.log.exchange(nil); l != nil {
		l.Close()
	}
	_ = os.RemoveAll(w.root) // a later run needs the space, not the files
}

func (w *testbed) openLog(dir string) {
	l, err := jetstream.Open(context.Background(), jetstream.Options{Dir: dir, MaxBytes: 1 << 28, Logger: quiet})
	w.must(err)
	w.logDir = dir
	w.log.exchange(l)
	w.log.dir = dir
}

// serve starts an instance.
func (w *testbed) serve(s *server) {
	secure, err := w.ca.Server(s.at, time.Unix(0, 0), time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC))
	w.must(err)
	s.gate = &gate{Log: w.log}
	s.cloud = cloud.New(cloud.Options{Log: s.gate, Feed: cloudtest.Feed{}, Gauge: cloudtest.Feed{}, KV: &w.kv, PubSub: w.log,
		Credentials: w.creds, OperatorToken: "0123456789abcdef0123456789abcdef", Logger: quiet})
	ln := w.net.Listen(s.at + ":443")
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = s.cloud.Serve(ctx, ln, secure.Certificates[0])
	}()
	s.stop = func() { cancel(); <-ended }
}

// restart stops an instance in good order, and starts it anew.
func (w *testbed) restart(s *server) {
	s.stop()
	w.serve(s)
}

// kill ends an instance as kill -9 does: nothing that it still does reaches
// anybody, except what it had sent to its log.
func (w *testbed) kill(s *server) {
	s.gate.dead.Store(true)
	w.net.Cut()
	w.restart(s)
}

func (w *testbed) look(dir string) storetest.Dir {
	synctest.Wait()
	d, err := storetest.ReadDir(dir, nil)
	w.must(err)
	return d
}

// drawBoot gives a board a boot of its own.
func (w *testbed) drawBoot() (id gateway.BootID) {
	for i := range id {
		id[i] = byte(w.r.Uint32())
	}
	return id
}
