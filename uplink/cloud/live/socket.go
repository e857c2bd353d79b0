package live

import (
	"compress/flate"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/gorilla/websocket"
	"golang.org/x/time/rate"

	"github.com/fieldgate/fieldgate/uplink/rfc6455"
)

// The subprotocols that a page offers: this one, and behind the other one its
// ticket.
const (
	Subprotocol    = "fieldgate.dash.v1.json"
	TicketProtocol = "fieldgate.ticket."
)

const (
	writeWithin      = 10 * time.Second
	closeWithin      = time.Second
	pingEvery        = 20 * time.Second
	silentFor        = 50 * time.Second // a client that says nothing for so long, not even pong, has gone
	maxInbound       = 16 << 10         // bytes of a message from a client, inflated
	inboundPerSecond = 10               // messages per second from a client; more wait
	closeSlow        = 4408
)

var errServerEnds = errors.New("the server stops")

// A Fleet is what the stream shows of gateways beside their readings.
type Fleet interface {
	// IDs gives the gateways that are known.
	IDs() ([]string, error)
	// Status gives what the stream says of a gateway, to be put into JSON.
	Status(id string) any
}

// A socket is one WebSocket of GET /v1/live. Its reader and its writer are
// one goroutine each.
type socket struct {
	hub     *Hub
	fleet   Fleet
	conn    *websocket.Conn
	view    *client
	answers chan []byte   // from the reader to the writer
	gone    chan struct{} // closed by the reader when the client has gone
}

// Serve sends presence and last values to a client, and then the stream, until
// the client goes or is too slow, or ctx is done. It closes the connection.
func (h *Hub) Serve(ctx context.Context, conn *websocket.Conn, f Filter, fleet Fleet) {
	c := &socket{hub: h, fleet: fleet, conn: conn, answers: make(chan []byte), gone: make(chan struct{})}
	ctx, cancel := context.WithCancel(ctx)
	go c.read(ctx) // joined below: it ends when the connection is closed
	err := c.serve(ctx, f)
	cancel()
	c.bye(err)
	<-c.gone
}

// serve sends what the client wants to hear. It is the only writer of
// messages; it returns why it ended.
func (c *socket) serve(ctx context.Context, f Filter) (err error) {
	hub := c.hub
	if c.view, err = hub.subscribe(f); err != nil {
		return err
	}
	defer hub.unsubscribe(c.view)
	ids, err := c.listened(f)
	if err != nil {
		return err
	}
	for _, id := range ids {
		if err := c.introduce(ctx, id); err != nil {
			return err
		}
	}
	hub.begin(c.view)
	ping := time.NewTicker(pingEvery)
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
func (c *socket) listened(f Filter) ([]string, error) {
	ids, err := f.Gateways, error(nil)
	if len(ids) == 0 {
		ids, err = c.fleet.IDs()
	}
	return slices.Compact(slices.Sorted(slices.Values(ids))), err
}

// statusText gives the presence of a gateway as the stream shows it.
func (c *socket) statusText(id string) []byte {
	b, err := json.Marshal(c.fleet.Status(id))
	if err != nil {
		return faultText("internal", "the status of "+id+" cannot be put into JSON")
	}
	return b
}

// introduce sends a gateway's presence and its last values.
func (c *socket) introduce(ctx context.Context, id string) error {
	select {
	case <-c.gone:
		return nil
	case <-ctx.Done():
		return errServerEnds
	default:
	}
	if err := c.send(c.statusText(id)); err != nil {
		return err
	}
	if _, err := c.hub.values(ctx, id); err != nil {
		c.hub.logger.Warn("the last values of a gateway cannot be read for a live client", "gateway", id, "error", err)
		if err := c.send(faultText("storage", "the last values of "+id+" cannot be read at the moment; what is new follows")); err != nil {
			return err
		}
	}
	for _, text := range c.hub.catchUp(c.view, id) {
		if err := c.send(text); err != nil {
			return err
		}
	}
	return nil
}

func (c *socket) sendWaiting() error {
	texts, lost, news, err := c.hub.take(c.view, nil)
	for _, id := range news {
		if err == nil {
			err = c.send(c.statusText(id))
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

func (c *socket) send(text []byte) error {
	if err := c.conn.SetWriteDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	err := c.conn.WriteMessage(websocket.TextMessage, text)
	var late net.Error
	if errors.As(err, &late) && late.Timeout() {
		return errSlowClient
	}
	return err
}

// bye tells the client why it ends, as far as it still listens, and closes.
func (c *socket) bye(why error) {
	switch {
	case errors.Is(why, errSlowClient):
		c.refuse(closeSlow, why.Error())
	case errors.Is(why, errServerEnds):
		c.refuse(websocket.CloseGoingAway, why.Error())
	case why != nil:
		c.hub.logger.Debug("live client ended", "error", why)
	}
	_ = c.conn.Close()
}

func (c *socket) refuse(code int, why string) {
	_ = c.conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, why), time.Now().Add(closeWithin))
}

// read takes what the client says, which is nothing but pongs as a rule. It
// ends when the connection does or ctx is done.
func (c *socket) read(ctx context.Context) {
	defer close(c.gone)
	c.conn.SetReadLimit(maxInbound)
	alive := func(string) error { return c.conn.SetReadDeadline(time.Now().Add(silentFor)) }
	c.conn.SetPongHandler(alive)
	limit := rate.NewLimiter(inboundPerSecond, 2*inboundPerSecond)
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
func (c *socket) heard() bool {
	kind, r, err := c.conn.NextReader()
	if err == nil && kind != websocket.TextMessage {
		c.refuse(websocket.CloseUnsupportedData, "text messages only")
		return false
	}
	var text []byte
	if err == nil { // the read limit counts compressed bytes: a small frame can inflate past it
		text, err = io.ReadAll(io.LimitReader(r, maxInbound+1))
	}
	var garbled flate.CorruptInputError
	v := rfc6455.Violated(err)
	switch {
	case v != nil:
		c.refuse(rfc6455.CloseCode, v.Why)
	case errors.As(err, &garbled):
		c.refuse(websocket.CloseInvalidFramePayloadData, "what is compressed cannot be read")
	case err != nil: // it has gone, or knows what it did
	case len(text) > maxInbound:
		c.refuse(websocket.CloseMessageTooBig, "a message may have 16 KiB")
	case !utf8.Valid(text): // RFC 6455 section 8.1
		c.refuse(websocket.CloseInvalidFramePayloadData, "text that is not UTF-8")
	default:
		return true
	}
	return false
}

func faultText(code, message string) []byte {
	b, _ := json.Marshal(map[string]string{"type": "error", "code": code, "message": message})
	return b
}
