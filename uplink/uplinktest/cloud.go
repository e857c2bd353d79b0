package uplinktest

import (
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/store/block"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// A Cloud is a small server of fieldgate.v1 in memory. It keeps the rules of
// contiguity and of ends, and remembers what it took. The hooks, set before
// Serve, come first; one that returns true has done all there was to do.
type Cloud struct {
	Token   string       // the credential it accepts
	Welcome wire.Welcome // terms; Session, Time and Epochs are filled in

	OnUpgrade func(w http.ResponseWriter, r *http.Request) bool
	OnHello   func(p *Peer, m *wire.Hello) bool
	OnUpdate  func(p *Peer, m *wire.Update) bool
	OnEvent   func(p *Peer, m *wire.Event) bool
	OnPing    func(p *Peer, m *wire.Ping) bool
	OnReport  func(m wire.Message) // of results and reports

	mu       sync.Mutex
	held     map[gateway.EpochID]*Held
	events   []wire.Event
	sessions int
	hellos   []*wire.Hello
	peers    map[*Peer]bool
	server   *http.Server
	done     chan struct{}
}

// Held is what the cloud has of one epoch.
type Held struct {
	Upto  uint64
	Done  bool
	Taken []Taken // in order; their ranges join without hole or overlap
	Ends  []wire.End
}

// Taken is one stored update, and which part of it counts.
type Taken struct {
	wire.Update
	From, To uint64
}

// A Peer is one connection of a gateway.
type Peer struct {
	mu     sync.Mutex
	ws     *websocket.Conn
	unpack block.Unpacker
	enc    *block.Encoder // of unpacked blocks; nil: none came yet
	packed []int          // bytes of the updates that came packed
}

// Serve takes connections until Close.
func (c *Cloud) Serve(l net.Listener, secure *tls.Config) {
	if secure != nil {
		l = tls.NewListener(l, secure)
	}
	quiet := log.New(io.Discard, "", 0)
	c.mu.Lock()
	c.held, c.peers = map[gateway.EpochID]*Held{}, map[*Peer]bool{}
	c.server, c.done = &http.Server{Handler: c, ErrorLog: quiet}, make(chan struct{})
	c.mu.Unlock()
	go func() {
		defer close(c.done)
		_ = c.server.Serve(l) // ends with ErrServerClosed
	}()
}

// Close ends the server and all its connections.
func (c *Cloud) Close() {
	_ = c.server.Close() // nothing is behind the listener
	c.mu.Lock()
	for p := range c.peers {
		_ = p.ws.Close()
	}
	c.mu.Unlock()
	<-c.done
}

// Held gives what the cloud has of an epoch.
func (c *Cloud) Held(e gateway.EpochID) Held {
	c.mu.Lock()
	defer c.mu.Unlock()
	if h := c.held[e]; h != nil {
		return *h
	}
	return Held{}
}

// Forget lowers what the cloud has of an epoch, as if its disk had lost the
// tail.
func (c *Cloud) Forget(e gateway.EpochID, upto uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.epochLocked(e)
	h.Upto, h.Done, h.Ends = upto, false, nil
	var kept []Taken
	for _, t := range h.Taken {
		if t.From <= upto {
			t.To = min(t.To, upto)
			kept = append(kept, t)
		}
	}
	h.Taken = kept
}

// Hellos gives all hellos so far.
func (c *Cloud) Hellos() []*wire.Hello {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.hellos[:len(c.hellos):len(c.hellos)]
}

func (c *Cloud) epochLocked(e gateway.EpochID) *Held {
	h := c.held[e]
	if h == nil {
		h = &Held{}
		c.held[e] = h
	}
	return h
}

// ServeHTTP implements http.Handler.
func (c *Cloud) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if c.OnUpgrade != nil && c.OnUpgrade(w, r) {
		return
	}
	if r.Header.Get("Authorization") != "Bearer "+c.Token {
		http.Error(w, "who are you, "+r.Header.Get("Authorization"), http.StatusUnauthorized)
		return
	}
	up := websocket.Upgrader{Subprotocols: []string{wire.SubprotocolCBOR}}
	ws, err := up.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	p := &Peer{ws: ws}
	c.mu.Lock()
	c.peers[p] = true
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		delete(c.peers, p)
		c.mu.Unlock()
		_ = ws.Close()
	}()
	c.serve(p)
}

func (c *Cloud) serve(p *Peer) {
	for {
		_, data, err := p.ws.ReadMessage()
		if err != nil {
			return
		}
		m, err := wire.Decode(data)
		if err != nil {
			p.Close(wire.CloseUndecodable, err.Error())
			return
		}
		switch m := m.(type) {
		case *wire.Hello:
			c.hello(p, m)
		case *wire.Update:
			if m.Packed != nil && !p.unpacked(m) {
				p.Close(wire.CloseUndecodable, "a packed block cannot be read")
				return
			}
			c.update(p, m)
		case *wire.Event:
			c.event(p, m)
		case *wire.Result, *wire.Reported:
			if c.OnReport != nil {
				c.OnReport(m)
			}
		case *wire.Ping:
			if c.OnPing == nil || !c.OnPing(p, m) {
				now := time.Now().UnixMicro()
				p.Send(&wire.Pong{T0: m.T0, T1: now, T2: now})
			}
		}
	}
}

// unpacked puts the block itself in the place of a packed one.
func (p *Peer) unpacked(m *wire.Update) bool {
	p.packed = append(p.packed, len(m.Packed))
	if p.enc == nil {
		p.enc = block.NewEncoder()
	}
	b, err := p.unpack.Unpack(m.Packed, p.enc)
	m.Packed, m.Blocks = nil, [][]byte{b}
	return err == nil
}

// Packed gives how many bytes each update took that came packed. Only hooks
// may call it.
func (p *Peer) Packed() []int { return p.packed }

func (c *Cloud) hello(p *Peer, m *wire.Hello) {
	c.mu.Lock()
	c.sessions++
	c.hellos = append(c.hellos, m)
	w := c.Welcome
	w.Session, w.Time = fmt.Sprintf("s%d", c.sessions), wire.Time(time.Now().UnixMicro())
	if w.Level == "" {
		w.Level = wire.LevelFsynced
	}
	w.Events = c.lastEventLocked()
	for _, e := range m.Epochs {
		h := c.epochLocked(e.Epoch)
		w.Epochs = append(w.Epochs, wire.EpochAck{Epoch: e.Epoch, Upto: h.Upto, Done: h.Done})
	}
	c.mu.Unlock()
	if c.OnHello == nil || !c.OnHello(p, m) {
		p.Send(&w)
	}
}

func (c *Cloud) update(p *Peer, m *wire.Update) {
	if c.OnUpdate != nil && c.OnUpdate(p, m) {
		return
	}
	p.Send(c.Take(m))
}

// Take stores an update as the rules say and gives the answer.
func (c *Cloud) Take(m *wire.Update) wire.Message {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.epochLocked(m.Epoch)
	if m.First > h.Upto+1 {
		return &wire.Nack{Epoch: m.Epoch, First: m.First, N: m.N, Code: wire.NackSeq, Retry: true, Expected: h.Upto + 1}
	}
	if last := m.First + m.N - 1; last > h.Upto {
		h.Taken = append(h.Taken, Taken{*m, h.Upto + 1, last})
		h.Upto = last
		h.Done = false // contiguous data after an open end reopens the epoch
	}
	if m.End != nil && !h.Done {
		h.Ends = append(h.Ends, *m.End)
		h.Done = true
	}
	return &wire.Ack{Epochs: []wire.EpochAck{{Epoch: m.Epoch, Upto: h.Upto, Done: h.Done}}}
}

// SendAll sends a message on every connection.
func (c *Cloud) SendAll(m wire.Message) {
	c.mu.Lock()
	peers := slices.Collect(maps.Keys(c.peers))
	c.mu.Unlock()
	for _, p := range peers {
		p.Send(m)
	}
}

// Send sends one message; a gateway that is gone is no error.
func (p *Peer) Send(m wire.Message) {
	data, err := wire.Encode(m)
	if err != nil {
		panic(err) // a test asks for what cannot be
	}
	p.SendFrame(websocket.BinaryMessage, data)
}

// SendFrame sends any frame.
func (p *Peer) SendFrame(kind int, data []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = p.ws.WriteMessage(kind, data)
}

// Close sends a close frame and closes.
func (p *Peer) Close(code int, reason string) {
	frame := websocket.FormatCloseMessage(code, reason)
	_ = p.ws.WriteControl(websocket.CloseMessage, frame, time.Now().Add(time.Second))
	_ = p.ws.Close()
}
