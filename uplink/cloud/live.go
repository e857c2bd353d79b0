package cloud

import (
	"compress/flate"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/gorilla/websocket"
	"golang.org/x/time/rate"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/cloud/ledger"
	"github.com/fieldgate/fieldgate/uplink/rfc6455"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

const (
	dashProtocol   = "fieldgate.dash.v1.json"
	ticketProtocol = "fieldgate.ticket."
	maxLiveClients = 1000
	maxFilter      = 256 // words in one list of a filter
	livePing       = 20 * time.Second
	liveSilence    = 50 * time.Second // a client that says nothing for so long, not even pong, has gone
	liveInbound    = 16 << 10         // bytes of a message from a client, inflated
	liveInboundPS  = 10               // messages per second from a client; more wait
	closeSlow      = 4408
)

var errServerEnds = errors.New("the server stops")

// A liveSocket is one WebSocket of GET /v1/live. Its reader and its writer are
// one goroutine each.
type liveSocket struct {
	server  *Server
	conn    *websocket.Conn
	view    *liveClient
	answers chan []byte   // from the reader to the writer
	gone    chan struct{} // closed by the reader when the client has gone
	started []byte        // reused
}

// serveLive answers GET /v1/live: presence and last values first, then the
// stream.
func (s *Server) serveLive(w http.ResponseWriter, r *http.Request) {
	filter, err := parseFilter(r.URL.RawQuery)
	switch {
	case !s.originAllowed(r):
		deny(w, http.StatusForbidden, "origin_not_allowed", "pages of other sites may not listen here")
		return
	case !s.mayListen(r):
		s.refuseOperator(w, r, "the operator token or the ticket is missing, wrong or used up")
		return
	case err != nil:
		deny(w, http.StatusBadRequest, "bad_query", err.Error())
		return
	}
	if !s.admitFilter(w, r, filter) {
		return
	}
	if no := rfc6455.Refused(w, r); no != nil {
		deny(w, no.Status, handshakeCode(no), no.Why)
		return
	}
	if !s.admitLive() {
		w.Header().Set("Retry-After", "10")
		deny(w, http.StatusServiceUnavailable, "too_many_clients", "this server serves as many live clients as it can, or is about to stop")
		return
	}
	defer s.dismissLive()
	deflate := rfc6455.Deflate(r)
	up := websocket.Upgrader{
		HandshakeTimeout: headerWithin, EnableCompression: deflate, Subprotocols: []string{dashProtocol}, Error: denyUpgrade,
		CheckOrigin: func(*http.Request) bool { return true }, // checked above
	}
	c := &liveSocket{server: s, answers: make(chan []byte), gone: make(chan struct{})}
	if c.conn, err = up.Upgrade(rfc6455.Server(w, deflate), r, nil); err != nil {
		return // the upgrader has answered
	}
	ctx, cancel := context.WithCancel(s.ctx)
	go c.read(ctx) // joined below: it ends when the connection is closed
	err = c.serve(ctx, *filter)
	cancel()
	c.bye(err)
	<-c.gone
}

// admitLive counts a client in, unless there are too many or the server stops.
func (s *Server) admitLive() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping || s.listening >= maxLiveClients {
		return false
	}
	s.listening++
	s.serving.Add(1)
	return true
}

func (s *Server) dismissLive() {
	s.mu.Lock()
	s.listening--
	s.mu.Unlock()
	s.serving.Done()
}

// parseFilter reads ?gateway=, ?device= and ?quantity=, each as often as one
// likes.
func parseFilter(raw string) (*liveFilter, error) {
	q, err := gateway.Query(raw, "gateway*", "device*", "quantity*")
	if err != nil {
		return nil, err
	}
	f := &liveFilter{q["gateway"], q["device"], q["quantity"]}
	for _, id := range f.gateways {
		if !gateway.ValidID(id) { // they become parts of subjects
			return nil, fmt.Errorf("gateway %.40q is no gateway_id: 1 to 64 of A-Z a-z 0-9 _ -", id)
		}
	}
	for _, list := range [][]string{f.gateways, f.devices, f.quantities} {
		if len(list) > maxFilter {
			return nil, errors.New("a filter has more than 256 words")
		}
		for _, word := range list {
			if !gateway.ValidID(word) {
				return nil, fmt.Errorf("%.80q can be no gateway, device or quantity: 1 to 64 of A-Z a-z 0-9 _ -", word)
			}
		}
	}
	return f, nil
}

// admitFilter answers who names a gateway that is not known, and tells whether
// all are.
func (s *Server) admitFilter(w http.ResponseWriter, r *http.Request, f *liveFilter) bool {
	for _, id := range f.gateways {
		if !s.admitReader(w, r, id) {
			return false
		}
	}
	return true
}

// serve sends what the client wants to hear. It is the only writer of
// messages; it returns why it ended.
func (c *liveSocket) serve(ctx context.Context, f liveFilter) (err error) {
	hub := c.server.hub
	if c.view, err = hub.subscribe(f); err != nil {
		return err
	}
	defer hub.unsubscribe(c.view)
	ids, err := c.server.listened(f)
	if err != nil {
		return err
	}
	for _, id := range ids {
		if err := c.introduce(ctx, id); err != nil {
			return err
		}
	}
	hub.begin(c.view)
	ping := time.NewTicker(livePing)
	defer ping.Stop()
	for {
		select {
		case <-c.view.ready:
			err = c.sendWaiting()
		case b := <-c.answers:
			err = c.send(b)
		case <-ping.C:
			err = c.conn.WriteControl(websocket.PingMessage, nil, time.Now().Add(writeWithin))
		case <-ctx.Done():
			err = errServerEnds
		case <-c.gone:
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// listened gives the gateways that a filter names, all if it names none.
func (s *Server) listened(f liveFilter) ([]string, error) {
	if len(f.gateways) > 0 {
		return slices.Compact(slices.Sorted(slices.Values(f.gateways))), nil
	}
	ids := s.presences.all()
	list, err := s.opt.Credentials.List()
	for _, c := range list {
		ids = append(ids, c.ID)
	}
	return slices.Compact(slices.Sorted(slices.Values(ids))), err
}

// introduce sends a gateway's presence and its last values.
func (c *liveSocket) introduce(ctx context.Context, id string) error {
	select {
	case <-c.gone:
		return nil
	case <-ctx.Done():
		return errServerEnds
	default:
	}
	if err := c.send(c.server.statusText(id)); err != nil {
		return err
	}
	if _, err := c.server.hub.last(ctx, id); err != nil {
		c.server.opt.Logger.Warn("the last values of a gateway cannot be read for a live client", "gateway", id, "error", err)
		if err := c.send(faultText("storage", "the last values of "+id+" cannot be read at the moment; what is new follows")); err != nil {
			return err
		}
	}
	for _, text := range c.server.hub.catchUp(c.view, id) {
		if err := c.send(text); err != nil {
			return err
		}
	}
	return nil
}

func (c *liveSocket) sendWaiting() error {
	texts, lost, news, err := c.server.hub.take(c.view, nil)
	for _, id := range news {
		if err == nil {
			err = c.send(c.server.statusText(id))
		}
	}
	for _, text := range texts {
		if err == nil {
			err = c.send(withLost(text, lost))
		}
		lost = 0
	}
	return err
}

func (c *liveSocket) send(text []byte) error {
	if err := c.conn.SetWriteDeadline(time.Now().Add(livePatience)); err != nil {
		return err
	}
	err := c.conn.WriteMessage(websocket.TextMessage, text)
	if isTimeout(err) {
		return errSlowClient
	}
	return err
}

// bye tells the client why it ends, as far as it still listens, and closes.
func (c *liveSocket) bye(why error) {
	switch {
	case errors.Is(why, errSlowClient):
		c.refuse(closeSlow, why.Error())
	case errors.Is(why, errServerEnds):
		c.refuse(websocket.CloseGoingAway, why.Error())
	case why != nil:
		c.server.opt.Logger.Debug("live client ended", "error", why)
	}
	_ = c.conn.Close()
}

func (c *liveSocket) refuse(code int, why string) {
	_ = c.conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, why), time.Now().Add(closeWithin))
}

// read takes what the client says, which is nothing but pongs as a rule. It
// ends when the connection does or ctx is done.
func (c *liveSocket) read(ctx context.Context) {
	defer close(c.gone)
	c.conn.SetReadLimit(liveInbound)
	alive := func(string) error { return c.conn.SetReadDeadline(time.Now().Add(liveSilence)) }
	c.conn.SetPongHandler(alive)
	limit := rate.NewLimiter(liveInboundPS, 2*liveInboundPS)
	answer := faultText("read_only", "this stream takes no messages; commands go to POST /v1/gateways/{id}/commands")
	for alive("") == nil {
		if !c.heard() || limit.Wait(ctx) != nil {
			return
		}
		select {
		case c.answers <- answer:
		case <-ctx.Done():
			return
		}
	}
}

// heard takes one message. If there is none that may be, it tells the client so
// and is false.
func (c *liveSocket) heard() bool {
	kind, r, err := c.conn.NextReader()
	if err == nil && kind != websocket.TextMessage {
		c.refuse(websocket.CloseUnsupportedData, "text messages only")
		return false
	}
	var text []byte
	if err == nil { // the read limit counts compressed bytes: a small frame can inflate past it
		text, err = io.ReadAll(io.LimitReader(r, liveInbound+1))
	}
	var garbled flate.CorruptInputError
	v := rfc6455.Violated(err)
	switch {
	case v != nil:
		c.refuse(rfc6455.CloseCode, v.Why)
	case errors.As(err, &garbled):
		c.refuse(websocket.CloseInvalidFramePayloadData, "what is compressed cannot be read")
	case err != nil: // it has gone, or knows what it did
	case len(text) > liveInbound:
		c.refuse(websocket.CloseMessageTooBig, "a message may have 16 KiB")
	case !utf8.Valid(text): // RFC 6455 section 8.1
		c.refuse(websocket.CloseInvalidFramePayloadData, "text that is not UTF-8")
	default:
		return true
	}
	return false
}

// A liveStatus is a gateway's presence on /v1/live.
type liveStatus struct {
	Type      string              `json:"type"` // "status"
	GatewayID string              `json:"gateway_id"`
	Connected bool                `json:"connected"`
	Since     *time.Time          `json:"since,omitempty"`
	LastSeen  *time.Time          `json:"last_seen,omitempty"`
	Software  string              `json:"software,omitempty"`
	Level     wire.Level          `json:"level,omitempty"`
	Backlog   *ledger.Waiting     `json:"backlog,omitempty"`
	Clock     string              `json:"clock,omitempty"` // none, rtc, session, ntp
	Health    []wire.Condition    `json:"health"`
	Devices   []wire.StatusDevice `json:"devices"`
}

func (s *Server) statusText(id string) []byte {
	st := liveStatus{Type: "status", GatewayID: id, Health: []wire.Condition{}, Devices: []wire.StatusDevice{}}
	if p, ok := s.presences.of(id); ok {
		st.Connected, st.LastSeen, st.Software, st.Level, st.Backlog = p.Connected, ledger.UTC(p.Seen), p.Software, p.Level, p.waiting()
		st.Clock = p.Clock.Quality.String()
		if p.Connected {
			st.Since = ledger.UTC(p.Since)
		}
		st.Health, st.Devices = append(st.Health, p.Health...), append(st.Devices, p.Devices...)
	}
	b, err := json.Marshal(st)
	if err != nil {
		return faultText("internal", "the status of "+id+" cannot be put into JSON")
	}
	return b
}

func faultText(code, message string) []byte {
	b, _ := json.Marshal(map[string]string{"type": "error", "code": code, "message": message})
	return b
}
