// Package local serves what the gateway knows to people and programs on site:
// a WebSocket with live readings, a small HTTP API, and the dashboard. It
// needs no internet, and nobody it serves can slow sampling down.
package local

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/health"
	"github.com/fieldgate/fieldgate/gateway/live"
	"github.com/fieldgate/fieldgate/gateway/local/dashboard"
)

const (
	stopGrace   = 2 * time.Second // for answers under way when the server ends
	statusEvery = 2 * time.Second // at least: a page that hears nothing for twice as long says so
	lookEvery   = 10 * time.Second
	statusCheck = time.Second // how often it is looked whether the status changed
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

	Conditions *health.Table // hears what keeps clients away; nil: only the log does
	Log        *slog.Logger
}

// A Server serves local clients. Nothing that goes wrong here ends it: what
// is wrong becomes a condition, and is tried again.
type Server struct {
	o        Options
	http     *http.Server
	conns    *connTable
	access   *access
	crowd    uint64 // connections that had to go or found no room, at the last look; owned by lookAround
	upgrader websocket.Upgrader

	leave   chan struct{}  // closed when the clients have to go
	serving sync.WaitGroup // the WebSocket clients

	mu       sync.Mutex
	listener net.Listener // nil: none yet
	clients  map[*client]struct{}
}

// New makes a server. It listens at once if that needs no name server; Run
// tries again what did not work.
func New(o Options) *Server {
	s := newServer(o)
	if !needsNoName(o.Listen) {
		return s
	}
	if l, err := s.listen(context.Background()); err == nil {
		s.listener = l
	}
	return s
}

func newServer(o Options) *Server {
	if o.Conditions == nil {
		o.Conditions = health.New(o.Log)
	}
	s := &Server{o: o, conns: newConnTable(maxOpen()), leave: make(chan struct{}), clients: map[*client]struct{}{}}
	s.access = newAccess(o, s.o.Conditions)
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
		ConnState:         s.conns.note,
		ConnContext:       withConn,
	}
	return s
}

// Addr is the address it listens on, with the real port when ":0" was asked
// for; the one of the options while it does not listen.
func (s *Server) Addr() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listener == nil {
		return s.o.Listen
	}
	return s.listener.Addr().String()
}

func (s *Server) keepListener(l net.Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listener = l
}

// Run serves until ctx is done, then says goodbye to all clients and returns
// nil. It may be called once.
func (s *Server) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	wg.Go(func() { s.tellStatus(ctx) })
	wg.Go(func() { s.lookAround(ctx) })
	wg.Go(func() {
		<-ctx.Done()
		s.sendAway()
		grace, cancel := context.WithTimeout(context.Background(), stopGrace)
		defer cancel()
		if s.http.Shutdown(grace) != nil {
			_ = s.http.Close() // answers that nobody fetched
		}
	})
	l := s.listener
	for ctx.Err() == nil {
		if l == nil {
			l = s.open(ctx)
		}
		if l != nil {
			s.serve(ctx, l)
		}
		l = nil
	}
	wg.Wait()
	s.hurry()
	return nil
}

// serve answers on l until ctx is done or l fails, which it tells.
func (s *Server) serve(ctx context.Context, l net.Listener) {
	err := s.http.Serve(boundListener(&patientListener{Listener: l, s: s}, s.conns))
	if ctx.Err() != nil {
		return
	}
	s.keepListener(nil)
	s.o.Conditions.Raise(conditionDown, "", health.Error, downSentence(s.o.Listen, err))
	wait(ctx, listenFirst)
}

// hurry waits for the WebSocket clients, but not for those that take nothing:
// the store's orderly end comes after this.
func (s *Server) hurry() {
	late := time.AfterFunc(stopGrace, s.conns.closeAll)
	defer late.Stop()
	s.serving.Wait()
}

// sendAway ends the WebSocket clients and admits no more.
func (s *Server) sendAway() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.leave)
}

// conditionPage says that the API is served, but no page.
const conditionPage = "local_page"

// lookAround tells now and then what keeps people away, also while nobody asks.
func (s *Server) lookAround(ctx context.Context) {
	for ctx.Err() == nil {
		s.access.look()
		s.lookAtCrowd()
		wait(ctx, lookEvery)
	}
}

// A route is one entry of the mux.
type route struct {
	pattern string
	open    bool // shows no data, so nobody has to log in
	serve   http.HandlerFunc
}

func (s *Server) routes() []route {
	list := []route{
		{"/ws", false, asked(s.serveWS)},
		{"/api/v1/status", false, asked(s.serveStatus)},
		{"/api/v1/channels", false, asked(s.serveChannels)},
		{"/api/v1/history", false, asked(s.serveHistory, "channel*", "from", "to", "points")},
		{"/metrics", false, asked(s.serveMetrics)},
		{"/healthz", true, serveHealthz},
		{"/", true, serveNotFound},
	}
	files, err := dashboard.Files()
	if err != nil {
		s.o.Conditions.Raise(conditionPage, "", health.Warning,
			"The page on site is missing in this program ("+err.Error()+"). The API works. Install fieldgate anew.")
	}
	for _, f := range files {
		pattern := f.Path
		if pattern == "/" {
			pattern = "/{$}"
		}
		list = append(list, route{pattern, true, f.ServeHTTP})
	}
	return list
}

// asked lets serve answer requests with no parameters but those that it takes
// (gateway.Query), and the token.
func asked(serve http.HandlerFunc, takes ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if _, err := gateway.Query(r.URL.RawQuery, append([]string{"token"}, takes...)...); err != nil {
			refuse(w, http.StatusBadRequest, newFault("bad_query", strings.ToUpper(err.Error()[:1])+err.Error()[1:]+"."))
			return
		}
		serve(w, r)
	}
}

// handler puts the guard before every route and the login before those with
// data.
func (s *Server) handler() http.Handler {
	a := s.access
	mux := http.NewServeMux()
	for _, r := range s.routes() {
		if !r.open {
			r.serve = a.need(r.serve)
		}
		mux.HandleFunc(r.pattern, r.serve)
	}
	ws := a.need(asked(s.serveWS))
	return newGuard(s.o.Hosts, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" && websocket.IsWebSocketUpgrade(r) {
			ws(w, r) // simple clients know no path
			return
		}
		mux.ServeHTTP(w, r)
	}))
}
