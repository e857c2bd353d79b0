package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/fieldgate/fieldgate/gateway/health"
)

// Whoever connects is of the board's own people, but may hang all the same:
// everything has a bound.
const (
	maxConns      = 16
	maxBody       = 64 << 10               // bytes of a request's parameters
	headerWithin  = 5 * time.Second        // for a caller to say what it wants
	requestWithin = 60 * time.Second       // for the answer
	writeWithin   = 5 * time.Second        // for a caller to take one line of it
	stopGrace     = 500 * time.Millisecond // for answers under way when the daemon stops
	listenEvery   = 10 * time.Second       // how often listening is tried again
)

// conditionDown says that no tool can reach the daemon.
const conditionDown = "control_down"

// Options say where a Server listens and what it serves.
type Options struct {
	Path       string // of the socket; "": there is none, and Run only waits
	Routes     []Route
	Conditions *health.Table
	Log        *slog.Logger
}

// A Server serves the socket. Nothing that goes wrong here ends it: what is
// wrong becomes a condition, and is tried again.
type Server struct {
	o     Options
	http  *http.Server
	conns *connTable
	first *socket // what New opened; nil: nothing
}

// New makes a server, which listens at once if that is possible.
func New(o Options) *Server {
	s := &Server{o: o, conns: newConnTable(maxConns)}
	mux := http.NewServeMux()
	for _, r := range o.Routes {
		mux.HandleFunc(r.Pattern, func(w http.ResponseWriter, q *http.Request) { s.serve(w, q, r) })
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, q *http.Request) {
		writeFault(w, &Fault{http.StatusNotFound, codeUnknown, "this gateway has no " + q.Method + " " + q.URL.Path})
	})
	s.http = &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: headerWithin,
		ReadTimeout:       2 * headerWithin,
		WriteTimeout:      requestWithin + writeWithin,
		IdleTimeout:       headerWithin,
		MaxHeaderBytes:    8 << 10,
		ErrorLog:          slog.NewLogLogger(o.Log.Handler(), slog.LevelDebug),
		ConnState:         s.conns.note,
		ConnContext:       withCaller,
	}
	if o.Path != "" {
		s.first, _ = listen(o.Path) // Run tells an error, if it lasts
	}
	return s
}

// Run serves until ctx is done, then returns nil within stopGrace. It may be
// called once.
func (s *Server) Run(ctx context.Context) error {
	s.http.BaseContext = baseContext(ctx)
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		<-ctx.Done()
		s.conns.closeSilent()
		grace, cancel := context.WithTimeout(context.Background(), stopGrace)
		defer cancel()
		if s.http.Shutdown(grace) != nil {
			_ = s.http.Close() // answers that nobody fetched
		}
	}()
	l := s.first
	for ctx.Err() == nil {
		if l == nil {
			l = s.open(ctx)
		}
		if l == nil {
			continue
		}
		err := s.http.Serve(s.conns.bound(l))
		l.leave()
		if l = nil; ctx.Err() == nil {
			s.down(err)
			wait(ctx, listenEvery)
		}
	}
	if l != nil { // it was told to stop before it began
		l.leave()
	}
	<-stopped
	return nil
}

// open listens, again and again until that works; nil when ctx is done. It
// tells a failure once.
func (s *Server) open(ctx context.Context) *socket {
	if s.o.Path == "" {
		<-ctx.Done()
	}
	for ctx.Err() == nil {
		l, err := listen(s.o.Path)
		if err == nil {
			s.o.Conditions.Clear(conditionDown, "", "The command line tools reach the gateway again.")
			return l
		}
		s.down(err)
		wait(ctx, listenEvery)
	}
	return nil
}

// down says that no tool can reach the daemon, and what to do.
func (s *Server) down(err error) {
	remedy := "Look at this folder and who owns it."
	if errors.Is(err, ErrInUse) {
		remedy = "Stop that one, or give this one another path with --control."
	}
	s.o.Conditions.Raise(conditionDown, "", health.Warning, fmt.Sprintf(
		"The commands fieldgate status, read and scan cannot reach this gateway: %v. Readings are taken, kept and sent all the same. "+
			"%s It is tried again every ten seconds.", err, remedy))
}

// serve answers one request by a route.
func (s *Server) serve(w http.ResponseWriter, q *http.Request, route Route) {
	ctx, cancel := context.WithTimeout(q.Context(), requestWithin)
	defer cancel()
	body, err := io.ReadAll(http.MaxBytesReader(w, q.Body, maxBody))
	if err != nil {
		writeFault(w, &Fault{http.StatusBadRequest, "bad_request", "the request could not be read: " + err.Error()})
		return
	}
	out := &answers{w: w}
	err = route.Serve(ctx, &Request{Caller: callerOf(q), body: body}, out.write)
	switch {
	case err == nil || out.err != nil: // nobody is there to hear of it
	case out.begun:
		_ = out.write(faultLine{faultOf(err, stopping(q))})
	default:
		writeFault(w, faultOf(err, stopping(q)))
	}
}

// answers writes the lines of one answer.
type answers struct {
	w     http.ResponseWriter
	begun bool
	err   error // the first; then nothing is written any more
}

// write sends one line. A caller that does not take it in time is given up.
func (a *answers) write(v any) error {
	if a.err != nil {
		return a.err
	}
	line, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("put the answer into JSON: %w", err)
	}
	if !a.begun {
		a.begun = true
		a.w.Header().Set("Content-Type", "application/json")
	}
	control := http.NewResponseController(a.w)
	_ = control.SetWriteDeadline(time.Now().Add(writeWithin)) // a unix socket can
	if _, a.err = a.w.Write(append(line, '\n')); a.err == nil {
		a.err = control.Flush()
	}
	return a.err
}

func writeFault(w http.ResponseWriter, f *Fault) {
	line, _ := json.Marshal(faultLine{f}) // two strings
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(f.Status)
	_, _ = w.Write(append(line, '\n')) // who asked may be gone
}

// wait lasts for d, or until ctx is done.
func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
