package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/packaging/bench/plant"
	"github.com/fieldgate/fieldgate/store/block"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// What the gateways of the figure send: full blocks, as many in one update as
// a message takes.
const (
	ingestGateways = 200
	ingestUpdates  = 3 // of each
	ingestWindow   = 4 // updates without an ack
	blockReadings  = 16_384
)

// ingesting measures 200 gateways that send to one server at the same time,
// over TLS, from the first update to the last ack: stored and synced.
func ingesting(bin string) error {
	return inFolder(func(dir string) error {
		epoch := gateway.NewEpochID()
		updates, readings, err := fullUpdates(epoch)
		if err != nil {
			return err
		}
		c, err := startCloud(bin, filepath.Join(dir, "cloud"))
		if err != nil {
			return err
		}
		defer end(c.cmd)
		var conns []*websocket.Conn
		for i := range ingestGateways {
			conn, err := c.connect(fmt.Sprintf("bench-%d", i), epoch)
			if err != nil {
				return err
			}
			defer conn.Close()
			conns = append(conns, conn)
		}
		start := time.Now()
		errs := make([]error, len(conns))
		var all sync.WaitGroup
		for i, conn := range conns {
			all.Go(func() { errs[i] = send(conn, updates, readings) })
		}
		all.Wait()
		took := time.Since(start).Seconds()
		if err := errors.Join(errs...); err != nil {
			return err
		}
		print("ingest-200-gateways", float64(readings*ingestGateways)/took, "readings/s")
		return nil
	})
}

// fullUpdates gives updates of one epoch, encoded, and how many readings they
// hold. Gateways may send the same: a reading's name begins with the gateway.
func fullUpdates(epoch gateway.EpochID) (updates [][]byte, readings uint64, err error) {
	p, enc := plant.New(1), block.NewEncoder()
	var rs []gateway.Reading
	anchor := gateway.Anchor{Boot: gateway.BootID{1}, Offset: time.Now().Add(-time.Hour * 800).UnixMicro(), Quality: gateway.ClockNTP}
	first, bytes := uint64(1), 0
	u := &wire.Update{Lane: wire.LaneBacklog, Epoch: epoch, First: first}
	for len(updates) < ingestUpdates {
		rs = p.Append(rs[:0], blockReadings)
		b, err := enc.Append(nil, gateway.BlockHeader{Range: gateway.Range{Epoch: epoch, First: first}, Anchor: anchor}, rs)
		if err != nil {
			return nil, 0, fmt.Errorf("encode a block: %w", err)
		}
		if bytes += len(b); bytes > wire.DefaultMessage-1024 {
			raw, err := wire.Encode(u)
			if err != nil {
				return nil, 0, fmt.Errorf("encode an update: %w", err)
			}
			updates, readings = append(updates, raw), readings+u.N
			u = &wire.Update{Lane: wire.LaneBacklog, Epoch: epoch, First: first}
			bytes = len(b)
		}
		u.Blocks, u.N = append(u.Blocks, b), u.N+blockReadings
		first += blockReadings
	}
	return updates, readings, nil
}

// send sends all updates, a window of them at a time, until all are acked.
func send(conn *websocket.Conn, updates [][]byte, readings uint64) error {
	sent, each := uint64(0), readings/uint64(len(updates))
	for acked := uint64(0); acked < readings; {
		for ; sent < uint64(len(updates)) && sent < acked/each+ingestWindow; sent++ {
			if err := conn.WriteMessage(websocket.BinaryMessage, updates[sent]); err != nil {
				return fmt.Errorf("send an update: %w", err)
			}
		}
		_, b, err := conn.ReadMessage()
		if err != nil {
			return fmt.Errorf("wait for an ack: %w", err)
		}
		m, err := wire.Decode(b)
		if err != nil {
			return fmt.Errorf("wait for an ack: %w", err)
		}
		switch m := m.(type) {
		case *wire.Ack:
			if len(m.Epochs) > 0 {
				acked = m.Epochs[0].Upto
			}
		case *wire.Nack, *wire.Error:
			return fmt.Errorf("the cloud refuses: %+v", m)
		}
	}
	return nil
}

// A cloudServer is the program, started for a figure.
type cloudServer struct {
	cmd        *exec.Cmd
	bin, state string
	addr       string
	trust      *tls.Config
}

// startCloud starts the server and waits until it listens.
func startCloud(bin, state string) (*cloudServer, error) {
	c := &cloudServer{bin: filepath.Join(bin, "fieldgate-cloud"), state: state}
	c.cmd = exec.Command(c.bin, "run", "--listen", "127.0.0.1:0", "--state", state)
	stderr, err := c.cmd.StderrPipe()
	if err == nil {
		err = c.cmd.Start()
	}
	if err != nil {
		return nil, fmt.Errorf("start the cloud server: %w", err)
	}
	said := ""
	lines := bufio.NewScanner(stderr)
	for c.addr == "" && lines.Scan() {
		said = lines.Text()
		if _, after, ok := strings.Cut(said, "listening on "); ok {
			c.addr, _, _ = strings.Cut(after, `"`)
		}
	}
	go func() { // the pipe must not fill; it ends with the program
		for lines.Scan() {
		}
	}()
	pem, err := os.ReadFile(filepath.Join(state, "ca.pem"))
	if c.addr == "" || err != nil {
		end(c.cmd)
		return nil, fmt.Errorf("the cloud server did not start: %s (%w)", said, err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	c.trust = &tls.Config{RootCAs: pool}
	return c, nil
}

// connect adds a gateway and opens its session.
func (c *cloudServer) connect(id string, epoch gateway.EpochID) (*websocket.Conn, error) {
	token, err := exec.Command(c.bin, "gateway", "add", id, "--state", c.state).Output()
	if err != nil {
		return nil, fmt.Errorf("add gateway %s: %w", id, err)
	}
	d := websocket.Dialer{TLSClientConfig: c.trust, Subprotocols: []string{wire.SubprotocolCBOR}, HandshakeTimeout: patience}
	conn, _, err := d.Dial("wss://"+c.addr+"/v1/gateway", http.Header{"Authorization": {"Bearer " + strings.TrimSpace(string(token))}})
	if err != nil {
		return nil, fmt.Errorf("connect gateway %s: %w", id, err)
	}
	hello, err := wire.Encode(&wire.Hello{GatewayID: id, All: true, Epochs: []wire.HelloEpoch{{Epoch: epoch, Oldest: 1}}})
	if err == nil {
		err = conn.WriteMessage(websocket.BinaryMessage, hello)
	}
	if err == nil {
		err = conn.SetReadDeadline(time.Now().Add(5 * time.Minute))
	}
	if err == nil {
		_, _, err = conn.ReadMessage() // welcome
	}
	if err != nil {
		return nil, fmt.Errorf("open the session of %s: %w", id, err)
	}
	return conn, nil
}
