package cloud

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"

	"github.com/fieldgate/fieldgate/uplink/cloud/command"
	"github.com/fieldgate/fieldgate/uplink/cloud/fleet"
	"github.com/fieldgate/fieldgate/uplink/cloud/keyring"
	"github.com/fieldgate/fieldgate/uplink/cloud/ledger"
	"github.com/fieldgate/fieldgate/uplink/cloud/live"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

const (
	headerBytes      = 8 << 10
	headerWithin     = 10 * time.Second
	recheckEvery     = 2 * time.Second // are the credentials of open sessions still there?
	readBuffer       = 256             // bytes, of a session; larger messages are read past it
	shutdownWithin   = 5 * time.Second // for readers of the API; what is cut off does not look complete
	comeBackAfter    = 5 * time.Second
	defaultPingS     = 30
	defaultMissPings = 2
)

// subprotocols are those of gateways, the better first.
var subprotocols = []string{wire.SubprotocolCBOR, wire.SubprotocolJSON}

// Options says what a Server works with. Log, Feed, Gauge, KV, PubSub,
// Credentials and OperatorToken are required.
type Options struct {
	Log           record.Log    // stays the caller's to close, after the server has ended
	Feed          record.Feed   // of the log, for the ledger
	Gauge         record.Gauge  // how far the consumers of the log are
	KV            record.KV     // for the ledger and what servers share
	PubSub        record.PubSub // between the servers of this cloud
	Credentials   keyring.Credentials
	GatewayCA     *tls.Certificate // signs the certificates of gateways; nil: they have tokens only
	CertLife      time.Duration    // of these; 0: 60 days
	OperatorToken string           // opens the operator's API
	Origins       []string         // of pages on other sites that may ask it, as Origin gives them
	Health        func() error     // why the server cannot take readings; nil: it always can
	Heartbeat     wire.Heartbeat   // zero: a ping every 30 s, 2 may miss
	Admission     Admission
	Metrics       func(io.Writer) // more for /metrics, in Prometheus' text format: of the log; may be nil
	BacklogAlarm  time.Duration   // age of a gateway's oldest unacknowledged reading from which it is an alarm; 0: 1 h
	ConsumerAlarm time.Duration   // age of the oldest record that a consumer of the log has not passed; 0: 5 min
	EpochsAlarm   int             // epochs that a gateway may begin within 24 h before it is an alarm, at most 63; 0: 24, -1: any number
	DrainSpan     time.Duration   // over which the gateways come back after a restart, at most; 0: 60 s
	Logger        *slog.Logger    // nil: slog.Default()
}

// A Server serves gateways and operators. It is an http.Handler; Serve does
// what belongs around it.
type Server struct {
	opt     Options
	mux     *http.ServeMux
	upgrade websocket.Upgrader

	ctx        context.Context // of all sessions
	stop       context.CancelCauseFunc
	serving    sync.WaitGroup      // sessions
	parts      []part              // not changed after New
	dispatcher *command.Dispatcher // of commands and configurations
	storage    storage
	gate       *gate

	ledger      *ledger.Ledger
	presences   *fleet.Presences
	hub         *live.Hub
	tickets     *live.Tickets
	alarms      *fleet.Alarms
	metrics     *serverMetrics
	auditLog    *auditLog
	configDrift *command.Drift

	mu        sync.Mutex               // guards what follows
	gateways  map[string]*gatewayEntry // by gateway_id; every gateway that connected
	listening int                      // clients of /v1/live
	stopping  bool                     // no more sessions are counted in
	open      int                      // sessions, those that open included
	logGen    uint64                   // of the log's connection; see Interrupted

	keys atomic.Pointer[Keys]

	fleet map[string]bool // who had a credential when they were counted; nil: not yet; replaced whole
}

// New makes a server. It does nothing until requests come.
func New(opt Options) *Server {
	if opt.Logger == nil {
		opt.Logger = slog.Default()
	}
	if opt.Heartbeat.PingS == 0 {
		opt.Heartbeat = wire.Heartbeat{PingS: defaultPingS, Miss: defaultMissPings}
	}
	s := &Server{opt: opt, mux: http.NewServeMux(), gateways: make(map[string]*gatewayEntry), storage: storage{log: opt.Logger},
		gate: newGate(opt.Admission.orDefaults()), metrics: newServerMetrics()}
	s.keys.Store(&Keys{GatewayCA: opt.GatewayCA, OperatorToken: opt.OperatorToken})
	s.auditLog = newAuditLog(opt.KV, opt.Logger)
	if opt.Credentials.KV == nil {
		s.auditLog.notes = keyring.Folder{Dir: opt.Credentials.Dir}
	}
	s.upgrade = websocket.Upgrader{
		HandshakeTimeout: headerWithin,
		WriteBufferPool:  &sync.Pool{},
		ReadBufferSize:   readBuffer,
		Subprotocols:     subprotocols,
		// Blocks are compressed already, and the read limit counts compressed
		// bytes: a small frame could inflate past it.
		EnableCompression: false,
		Error:             denyUpgrade,
	}
	s.ctx, s.stop = context.WithCancelCause(context.Background())
	s.useMetrics()
	s.useIdentity()
	s.useConsumers()
	s.useCommands()
	s.useRoutes()
	s.parts = append(s.parts, part{run: s.countFleet}, part{run: s.hearTakeovers})
	return s
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	timeBody(w, r)
	if s.crossOrigin(w, r) {
		return
	}
	if _, pattern := s.mux.Handler(r); pattern == "" {
		s.denyPath(w, r)
		return
	}
	s.mux.ServeHTTP(w, r)
}

// denyPath answers what no route takes, in JSON as everything else.
func (s *Server) denyPath(w http.ResponseWriter, r *http.Request) {
	var allowed []string
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete} {
		if s.routeOf(r, method) != "" {
			allowed = append(allowed, method)
		}
	}
	if len(allowed) == 0 {
		deny(w, http.StatusNotFound, "not_found", "there is nothing at this address; the API is under /v1/")
		return
	}
	w.Header().Set("Allow", strings.Join(allowed, ", "))
	deny(w, http.StatusMethodNotAllowed, "method_not_allowed", "this address takes "+strings.Join(allowed, " and ")+" alone")
}

// routeOf gives the route that would take r with another method, "" if none
// would.
func (s *Server) routeOf(r *http.Request, method string) string {
	other := *r
	other.Method = method
	_, pattern := s.mux.Handler(&other)
	return pattern
}

// Serve answers requests on ln with TLS, which it closes, until ctx is done:
// then it takes no more connections, asks the gateways to come back later, each
// at a time of its own, finishes what is being stored, and closes every session
// that is left after 5 s with 1012 (service restart). It returns when all have
// ended.
func (s *Server) Serve(ctx context.Context, ln net.Listener, cert tls.Certificate) error {
	hs := &http.Server{
		Handler:           s,
		MaxHeaderBytes:    headerBytes,
		ReadHeaderTimeout: headerWithin,
		IdleTimeout:       time.Minute,
		ErrorLog:          slog.NewLogLogger(s.opt.Logger.Handler(), slog.LevelDebug),
	}
	// HTTP/2 is not offered: it has no upgrade to WebSocket that gateways speak.
	secure := &tls.Config{MinVersion: tls.VersionTLS12, GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config,
		error) {
		return s.secured(cert), nil
	}}
	ln = tls.NewListener(ln, secure)
	var watching sync.WaitGroup
	watching.Go(s.recheck)
	for _, p := range s.parts {
		if p.run != nil {
			watching.Go(func() { p.run(s.ctx) })
		}
	}
	unblock := context.AfterFunc(ctx, func() { _ = ln.Close() })
	defer unblock()
	err := hs.Serve(ln)
	if ctx.Err() != nil {
		err = nil
	}
	over, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownWithin)
	defer cancel()
	s.drain()
	s.Close()
	watching.Wait()
	_ = hs.Shutdown(over) // readers of the API may finish
	_ = hs.Close()
	if err != nil {
		return fmt.Errorf("serve %s: %w", ln.Addr(), err)
	}
	return nil
}

// Close ends every session with 1012 after the record under way is stored and
// acknowledged, and waits for them. New ones are refused.
func (s *Server) Close() {
	s.mu.Lock()
	s.stopping = true
	s.mu.Unlock()
	s.stop(errRestart)
	s.serving.Wait()
}

func (s *Server) serveReady(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	stopping := s.stopping
	s.mu.Unlock()
	if stopping {
		deny(w, http.StatusServiceUnavailable, "restarting", errStopping.Error())
		return
	}
	if s.opt.Health != nil {
		if err := s.opt.Health(); err != nil {
			deny(w, http.StatusServiceUnavailable, "storage", err.Error())
			return
		}
	}
	if err := s.storage.err(); err != nil {
		deny(w, http.StatusServiceUnavailable, "storage", err.Error())
		return
	}
	fmt.Fprintln(w, "ready")
}

func bearer(r *http.Request) string {
	kind, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(kind, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}

// deny answers with an error in JSON: a code for programs, a sentence for
// people.
func deny(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"code": code, "message": message})
}
