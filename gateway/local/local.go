// Package local serves what the gateway knows to people and programs on site:
// a WebSocket with live readings, a small HTTP API, and the dashboard. It
// needs no internet, and nobody it serves can slow sampling down.
package local

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"github.com/gorilla/websocket"
	"golang.org/x/time/rate"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/live"
	"github.com/fieldgate/fieldgate/gateway/local/dashboard"
)

const (
	maxConns    = 256             // TCP connections at once; more wait in the kernel
	maxClients  = 64              // WebSocket clients at once
	stopGrace   = 2 * time.Second // for answers under way when the server ends
	statusEvery = 5 * time.Second // at least
	statusCheck = time.Second     // how often it is looked whether the status changed
)

// A Clock tells the time of readings and of now.
type Clock interface {
	Stamp() gateway.Stamp   // now, in CLOCK_BOOTTIME
	Anchor() gateway.Anchor // the best anchor of this boot
}

// Options say what a Server serves, to whom.
type Options struct {
	Listen    string                 // TCP address: "127.0.0.1:8080", ":8080" for all interfaces
	View      string                 // "open": everybody may view; anything else: who has the token
	Token     func() (string, error) // reads the token at each login; nil or an empty token: nobody can log in
	Hosts     []string               // names of this gateway besides localhost, its host name and that in .local
	GatewayID string
	Hub       *live.Hub
	Clock     Clock
	History   Historian     // nil: there is none to be seen
	Status    func() Status // called at most about once a second, and once per request and newcomer
	Log       *slog.Logger
}

// A Server serves local clients. New makes it listen, Run makes it answer.
type Server struct {
	o        Options
	listener net.Listener
	http     *http.Server
	upgrader websocket.Upgrader

	leave   chan struct{}  // closed when the clients have to go
	serving sync.WaitGroup // the WebSocket clients

	mu      sync.Mutex
	clients map[*client]struct{}
}

// New listens on o.Listen. From then on connections are taken by the kernel;
// they are answered when Run is called. The error says what to do.
func New(o Options) (*Server, error) {
	s := newServer(o)
	l, err := net.Listen("tcp", o.Listen)
	if err != nil {
		return nil, listenError(o.Listen, err)
	}
	s.listener = limitListener(l, maxConns)
	return s, nil
}

func newServer(o Options) *Server {
	s := &Server{o: o, leave: make(chan struct{}), clients: map[*client]struct{}{}}
	s.upgrader = websocket.Upgrader{
		HandshakeTimeout: 10 * time.Second,
		ReadBufferSize:   1024,
		WriteBufferSize:  1024,
		WriteBufferPool:  &sync.Pool{},
		Subprotocols:     []string{"fieldgate.dash.v1.json"},
		CheckOrigin:      func(*http.Request) bool { return true }, // the guard has looked
		Error: func(w http.ResponseWriter, _ *http.Request, status int, reason error) {
			refuse(w, status, newFault("not_a_websocket", "The WebSocket handshake is not right: "+reason.Error()))
		},
	}
	s.http = &http.Server{
		Handler:           s.handler(),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       60 * time.Second,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(o.Log.Handler(), slog.LevelDebug),
	}
	return s
}

func listenError(addr string, err error) error {
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("the address %s of the setting [local] listen is in use by another program; "+
			"stop that program or set another address: %w", addr, err)
	}
	return fmt.Errorf("cannot listen on %s, the address of the setting [local] listen: %w", addr, err)
}

// Addr is the address it listens on, with the real port when ":0" was asked for.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Run serves until ctx is done, then says goodbye to all clients and returns
// nil. It may be called once.
func (s *Server) Run(ctx context.Context) error {
	ended := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { s.tellStatus(ended) })
	wg.Go(func() {
		select {
		case <-ctx.Done():
		case <-ended:
		}
		s.sendAway()
		grace, cancel := context.WithTimeout(context.Background(), stopGrace)
		defer cancel()
		if s.http.Shutdown(grace) != nil {
			_ = s.http.Close() // answers that nobody fetched
		}
	})
	err := s.http.Serve(s.listener)
	close(ended)
	wg.Wait()
	s.serving.Wait()
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serve local clients: %w", err)
}

// sendAway ends the WebSocket clients and admits no more.
func (s *Server) sendAway() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.leave)
}

// A route is one entry of the mux.
type route struct {
	pattern string
	open    bool // shows no data, so nobody has to log in
	serve   http.HandlerFunc
}

func (s *Server) routes() []route {
	list := []route{
		{"/ws", false, s.serveWS},
		{"/api/v1/status", false, s.serveStatus},
		{"/api/v1/channels", false, s.serveChannels},
		{"/api/v1/history", false, s.serveHistory},
		{"/metrics", false, s.serveMetrics},
		{"/healthz", true, serveHealthz},
		{"/", true, serveNotFound},
	}
	for _, f := range dashboard.Files() {
		pattern := f.Path
		if pattern == "/" {
			pattern = "/{$}"
		}
		list = append(list, route{pattern, true, f.ServeHTTP})
	}
	return list
}

// handler puts the guard before every route and the login before those with
// data.
func (s *Server) handler() http.Handler {
	a := &access{open: s.o.View == "open", token: s.o.Token, log: s.o.Log, wrong: map[netip.Prefix]*rate.Limiter{}}
	mux := http.NewServeMux()
	for _, r := range s.routes() {
		if !r.open {
			r.serve = a.need(r.serve)
		}
		mux.HandleFunc(r.pattern, r.serve)
	}
	ws := a.need(s.serveWS)
	return newGuard(s.o.Hosts, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" && websocket.IsWebSocketUpgrade(r) {
			ws(w, r) // simple clients know no path
			return
		}
		mux.ServeHTTP(w, r)
	}))
}
