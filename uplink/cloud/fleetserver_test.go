package cloud_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/uplink/cloud"
	"github.com/fieldgate/fieldgate/uplink/cloud/jetstream"
	"github.com/fieldgate/fieldgate/uplink/cloud/keyring"
)

// The test binary can be the cloud server itself, as a process of its own: so
// it can be killed, and its memory is nobody else's.
const (
	fleetDir    = "FIELDGATE_TEST_FLEET_DIR"    // its state; unset: this is a test
	fleetListen = "FIELDGATE_TEST_FLEET_LISTEN" // its address
)

// serveFleet is the whole of that process.
func serveFleet(dir, listen string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	raiseFiles()
	log := slog.New(slog.NewTextHandler(os.Stdout, nil))
	records, err := jetstream.Open(ctx, jetstream.Options{Dir: dir + "/log", Logger: log})
	if err != nil {
		return err
	}
	defer records.Close()
	cert, err := keyring.Certificate(dir, nil)
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	s := cloud.New(cloud.Options{
		Log: records, Feed: records, Gauge: records, KV: records, PubSub: records,
		Credentials: keyring.Credentials{Dir: dir + "/gateways"}, OperatorToken: operatorToken, Health: records.Health, Logger: log,
		Admission: cloud.Admission{PerAddress: -1}, // all of the fleet comes from one
	})
	fmt.Printf("listening %s\n", ln.Addr())
	go reportMemory(os.Stdin)
	return s.Serve(ctx, ln, cert)
}

// reportMemory answers each line with what the process holds.
func reportMemory(in io.Reader) {
	for sc := bufio.NewScanner(in); sc.Scan(); {
		lazy := anonymous()
		debug.FreeOSMemory()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		fmt.Printf("memory %d %d %d %d %d %d\n", anonymous(), lazy, m.HeapInuse, m.HeapAlloc, m.StackInuse, runtime.NumGoroutine())
	}
}

// anonymous gives the bytes of the process's memory that no file backs.
func anonymous() (kb int) {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "RssAnon:"); ok {
			_, _ = fmt.Sscan(rest, &kb)
		}
	}
	return kb << 10
}

// raiseFiles lets the process open as many files as it may.
func raiseFiles() {
	var l syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l) == nil {
		l.Cur = l.Max
		_ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &l)
	}
}

// A fleetServer is the server's process as its test sees it.
type fleetServer struct {
	t    testing.TB
	dir  string
	addr string // after the first start

	cmd     *exec.Cmd
	in      io.WriteCloser
	memory  chan string
	reading sync.WaitGroup

	mu     sync.Mutex
	opened []time.Time // of sessions, since the newest start
}

func (s *fleetServer) start() {
	s.t.Helper()
	listen := s.addr
	if listen == "" {
		listen = "127.0.0.1:0"
	}
	s.cmd = exec.Command(os.Args[0])
	s.cmd.Env = append(os.Environ(), fleetDir+"="+s.dir, fleetListen+"="+listen)
	s.cmd.Stderr = os.Stderr
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if s.in, err = s.cmd.StdinPipe(); err != nil {
		s.t.Fatal(err)
	}
	s.mu.Lock()
	s.opened = nil
	s.mu.Unlock()
	s.memory = make(chan string, 1)
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	listening := make(chan string, 1)
	s.reading.Go(func() { s.read(out, listening) })
	select {
	case s.addr = <-listening:
	case <-time.After(answerWithin):
		s.t.Fatal("the server does not start")
	}
}

// read follows what the process says.
func (s *fleetServer) read(out io.Reader, listening chan<- string) {
	for sc := bufio.NewScanner(out); sc.Scan(); {
		line := sc.Text()
		switch {
		case strings.HasPrefix(line, "listening "):
			listening <- strings.TrimPrefix(line, "listening ")
		case strings.HasPrefix(line, "memory "):
			s.memory <- line
		case strings.Contains(line, `msg="session opened"`):
			said, _, _ := strings.Cut(strings.TrimPrefix(line, "time="), " ")
			at, err := time.Parse(time.RFC3339Nano, said)
			if err != nil {
				s.t.Errorf("%s: %v", line, err)
			}
			s.mu.Lock()
			s.opened = append(s.opened, at)
			s.mu.Unlock()
		}
	}
}

func (s *fleetServer) sessions() []time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]time.Time(nil), s.opened...)
}

// end ends the process with a signal and waits for it.
func (s *fleetServer) end(sig syscall.Signal) {
	_ = s.cmd.Process.Signal(sig)
	s.reading.Wait()
	_ = s.cmd.Wait() // how it ended is not the question
}

// A footprint is what the process holds, in bytes. The pages of the heap hold
// what lives, and room between that.
type footprint struct{ anon, lazy, heap, live, stacks, goroutines int }

func (s *fleetServer) footprint() (f footprint) {
	s.t.Helper()
	if _, err := s.in.Write([]byte("\n")); err != nil {
		s.t.Fatal(err)
	}
	select {
	case line := <-s.memory:
		if _, err := fmt.Sscanf(line, "memory %d %d %d %d %d %d", &f.anon, &f.lazy, &f.heap, &f.live, &f.stacks, &f.goroutines); err != nil {
			s.t.Fatal(err)
		}
	case <-time.After(answerWithin):
		s.t.Fatal("the server does not answer")
	}
	return f
}
