package local

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/gorilla/websocket"
	"golang.org/x/time/rate"

	"github.com/fieldgate/fieldgate/gateway/live"
	"github.com/fieldgate/fieldgate/uplink/rfc6455"
)

const (
	pingEvery  = 20 * time.Second
	silence    = 50 * time.Second // a client that says nothing for so long, not even pong, has gone
	writeGrace = 10 * time.Second // for one message to be taken
	maxInbound = 16 << 10         // bytes of a message from a client
	inboundPS  = 10               // messages per second from a client; more wait
	inboundTop = 20               // … after so many at once
	closeSlow  = 4408

	maxClients   = 64              // WebSocket clients at once, …
	maxOfAddress = 16              // … of one address, …
	maxOfProxy   = 48              // … and of one on this board, which may be a proxy for many
	provenWithin = 5 * time.Second // who answered no ping in that time may have to go for others
)

var (
	errServerEnds = errors.New("the gateway stops serving")
	errCrowded    = errors.New("the gateway serves as many clients as it can, and others have fewer")
)

// A client is one WebSocket. Its reader and its writer are one goroutine each.
type client struct {
	from   netip.Prefix  // whom it counts for
	peer   netip.Prefix  // who it comes from: another one behind a proxy
	known  bool          // signed in
	since  time.Time     // it was admitted
	out    chan struct{} // closed when it has to go for another; guarded by Server.mu
	proven atomic.Bool   // it has said something, be it a pong

	conn    *websocket.Conn
	sub     *live.Subscription
	status  chan []byte   // the latest status, if the writer has not sent it yet
	answers chan *fault   // from the reader to the writer
	gone    chan struct{} // closed by the reader when the client has gone
}

// serveWS serves one client until it goes, is too slow, or the server ends.
func (s *Server) serveWS(w http.ResponseWriter, r *http.Request) {
	if no := rfc6455.Refused(w, r); no != nil {
		code := "not_a_websocket"
		if no.Status == http.StatusUpgradeRequired {
			code = "upgrade_required"
			no.Why += " The dashboard is at /, the API under /api/v1/."
		}
		refuse(w, no.Status, newFault(code, no.Why))
		return
	}
	c := newClient(r)
	if !s.admit(c) {
		w.Header().Set("Retry-After", "10")
		refuse(w, http.StatusServiceUnavailable, newFault("too_many_clients",
			"This gateway serves as many live clients as it can. Close another one or try again later."))
		return
	}
	defer s.dismiss(c)
	var err error
	if c.conn, err = s.upgrader.Upgrade(rfc6455.Server(w, false), r, nil); err != nil {
		return // the upgrader has answered
	}
	ctx, cancel := context.WithCancel(context.Background())
	go c.read(ctx) // joined below: it ends when the connection is closed
	err = s.write(c)
	cancel()
	c.bye(err)
	<-c.gone
}

func newClient(r *http.Request) *client {
	return &client{
		from: clientAddr(r), peer: prefixOf(r.RemoteAddr), known: isSignedIn(r), since: time.Now(),
		out: make(chan struct{}), status: make(chan []byte, 1), answers: make(chan *fault), gone: make(chan struct{}),
	}
}

// write sends a status, the last reading of every channel, then what comes. It
// is the only writer of messages; it returns why it ended.
func (s *Server) write(c *client) error {
	var snapshot []live.Update
	c.sub, snapshot = s.o.Hub.Subscribe()
	defer c.sub.Close()
	if err := c.send(encode(s.status())); err != nil {
		return err
	}
	if err := s.sendUpdates(c, snapshot, 0); err != nil {
		return err
	}
	ping := time.NewTicker(pingEvery)
	defer ping.Stop()
	buf := snapshot[:0]
	if err := c.ping(); err != nil { // its answer proves that somebody is there
		return err
	}
	for {
		var err error
		select {
		case <-c.sub.Ready():
			buf, err = s.sendWaiting(c, buf[:0])
		case status := <-c.status:
			err = c.send(status)
		case f := <-c.answers:
			err = c.send(encode(f))
		case <-ping.C:
			err = c.ping()
		case <-s.leave:
			err = errServerEnds
		case <-c.out:
			err = errCrowded
		case <-c.gone:
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// sendWaiting sends what waits in the subscription and gives buf back for the
// next time.
func (s *Server) sendWaiting(c *client, buf []live.Update) ([]live.Update, error) {
	updates, lost, err := c.sub.Take(buf)
	if err != nil {
		return updates, err
	}
	return updates, s.sendUpdates(c, updates, lost)
}

func (s *Server) sendUpdates(c *client, updates []live.Update, lost uint64) error {
	anchor := s.o.Clock.Anchor()
	for _, u := range updates {
		if err := c.send(encode(update{Type: "update", row: rowOf(u, anchor), Lost: lost})); err != nil {
			return err
		}
		lost = 0
	}
	return nil
}

func (c *client) send(message []byte) error {
	if err := c.conn.SetWriteDeadline(time.Now().Add(writeGrace)); err != nil {
		return err
	}
	return c.conn.WriteMessage(websocket.TextMessage, message)
}

func (c *client) ping() error {
	return c.conn.WriteControl(websocket.PingMessage, nil, time.Now().Add(writeGrace))
}

// bye tells the client why it ends, as far as it still listens, and closes.
func (c *client) bye(why error) {
	switch {
	case errors.Is(why, live.ErrSlow):
		c.refuse(closeSlow, why.Error())
	case errors.Is(why, errCrowded):
		c.refuse(websocket.CloseTryAgainLater, why.Error())
	case errors.Is(why, errServerEnds):
		c.refuse(websocket.CloseGoingAway, why.Error())
	}
	_ = c.conn.Close()
}

// refuse sends a close frame, if the client takes it within a second.
func (c *client) refuse(code int, why string) {
	frame := websocket.FormatCloseMessage(code, why)
	_ = c.conn.WriteControl(websocket.CloseMessage, frame, time.Now().Add(time.Second))
}

// read takes what the client says and hands the answers to the writer. It ends
// when the connection does or ctx is done.
func (c *client) read(ctx context.Context) {
	defer close(c.gone)
	c.conn.SetReadLimit(maxInbound)
	alive := func(string) error { return c.conn.SetReadDeadline(time.Now().Add(silence)) }
	c.conn.SetPongHandler(func(string) error {
		c.proven.Store(true)
		return alive("")
	})
	limit := rate.NewLimiter(inboundPS, inboundTop)
	for alive("") == nil {
		kind, message, err := c.conn.ReadMessage()
		if v := rfc6455.Violated(err); v != nil {
			c.refuse(rfc6455.CloseCode, v.Why)
		}
		if err != nil {
			return
		}
		c.proven.Store(true)
		if kind != websocket.TextMessage {
			c.refuse(websocket.CloseUnsupportedData, "text messages only")
			return
		}
		if !utf8.Valid(message) { // RFC 6455 section 8.1: gorilla does not look
			c.refuse(websocket.CloseInvalidFramePayloadData, "text that is not UTF-8")
			return
		}
		if limit.Wait(ctx) != nil {
			return
		}
		select {
		case c.answers <- answer(message):
		case <-ctx.Done():
			return
		}
	}
}
