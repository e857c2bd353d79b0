package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gorilla/websocket"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/store/block"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

const (
	liveUpdates  = 1000
	liveReadings = 20                    // in an update
	liveRest     = 10 * time.Millisecond // between two, so that the link is idle
)

// listening measures how long an update takes from the gateway's line through
// the cloud's log, which syncs it to the disk, to a client of /v1/live: TLS on
// loopback, one update under way at a time.
func listening(bin string) error {
	return inFolder(func(dir string) error {
		addr, err := freeAddr()
		if err != nil {
			return err
		}
		program := filepath.Join(bin, "fieldgate-cloud")
		token, err := exec.Command(program, "gateway", "add", "bench", "--state", dir).Output()
		if err != nil {
			return fmt.Errorf("add the gateway: %w", err)
		}
		cloud := exec.Command(program, "run", "--listen", addr, "--state", dir)
		if err := cloud.Start(); err != nil {
			return fmt.Errorf("start the cloud: %w", err)
		}
		defer end(cloud)
		p := &liveLine{addr: addr, dir: dir, epoch: gateway.NewEpochID(), enc: block.NewEncoder()}
		if err := p.open(strings.TrimSpace(string(token))); err != nil {
			return err
		}
		defer p.close()
		return p.measure()
	})
}

// A liveLine is a gateway's connection and that of a client that listens to it.
type liveLine struct {
	addr, dir       string
	sender, hearing *websocket.Conn
	epoch           gateway.EpochID
	enc             *block.Encoder
	channels        []*gateway.Channel
	seq             uint64
}

func (p *liveLine) open(token string) error {
	var err error
	for start := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		if p.sender, err = p.dial("/v1/gateway", token, wire.SubprotocolCBOR); err == nil {
			break
		}
		if time.Since(start) > patience {
			return fmt.Errorf("reach the cloud: %w", err)
		}
	}
	hello := &wire.Hello{GatewayID: "bench", Software: "bench", All: true, Epochs: []wire.HelloEpoch{{Epoch: p.epoch, Oldest: 1}}}
	if err := p.say(hello); err != nil {
		return err
	}
	if _, _, err := p.sender.ReadMessage(); err != nil {
		return fmt.Errorf("be welcomed: %w", err)
	}
	operator, err := os.ReadFile(filepath.Join(p.dir, "operator.token"))
	if err != nil {
		return fmt.Errorf("read the operator's token: %w", err)
	}
	if p.hearing, err = p.dial("/v1/live", strings.TrimSpace(string(operator)), ""); err != nil {
		return fmt.Errorf("listen to the cloud: %w", err)
	}
	for i := range liveReadings {
		p.channels = append(p.channels, &gateway.Channel{Device: "boiler", Quantity: fmt.Sprintf("t%d", i), Unit: "Cel"})
	}
	return nil
}

func (p *liveLine) dial(path, token, subprotocol string) (*websocket.Conn, error) {
	ca, err := os.ReadFile(filepath.Join(p.dir, "ca.pem"))
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	d := websocket.Dialer{TLSClientConfig: &tls.Config{RootCAs: pool}, HandshakeTimeout: patience}
	if subprotocol != "" {
		d.Subprotocols = []string{subprotocol}
	}
	conn, _, err := d.Dial("wss://"+p.addr+path, http.Header{"Authorization": {"Bearer " + token}})
	return conn, err
}

func (p *liveLine) close() {
	for _, c := range []*websocket.Conn{p.sender, p.hearing} {
		if c != nil {
			_ = c.Close()
		}
	}
}

func (p *liveLine) say(m wire.Message) error {
	b, err := wire.Encode(m)
	if err != nil {
		return err
	}
	return p.sender.WriteMessage(websocket.BinaryMessage, b)
}

func (p *liveLine) measure() error {
	var ms []float64
	for range liveUpdates {
		time.Sleep(liveRest)
		took, err := p.once()
		if err != nil {
			return err
		}
		ms = append(ms, took.Seconds()*1000)
	}
	slices.Sort(ms)
	print("update-to-live-p50", ms[len(ms)/2], "ms")
	print("update-to-live-p99", ms[len(ms)*99/100], "ms")
	return nil
}

// once sends an update and waits until its last reading has reached the
// client, and the ack the gateway.
func (p *liveLine) once() (time.Duration, error) {
	now := time.Now()
	var rs []gateway.Reading
	for i, ch := range p.channels {
		rs = append(rs, gateway.Reading{Channel: ch, Value: 20 + float64(p.seq%100)/100, At: gateway.Stamp(i)})
	}
	header := gateway.BlockHeader{
		Range:  gateway.Range{Epoch: p.epoch, First: p.seq + 1},
		Anchor: gateway.Anchor{Boot: gateway.BootID{1}, Offset: now.UnixMicro(), Quality: gateway.ClockNTP},
	}
	b, err := p.enc.Append(nil, header, rs)
	if err != nil {
		return 0, err
	}
	u := &wire.Update{Lane: wire.LaneLive, Epoch: p.epoch, First: p.seq + 1, N: uint64(len(rs)), Blocks: [][]byte{b}}
	p.seq += uint64(len(rs))
	sent := time.Now()
	if err := p.say(u); err != nil {
		return 0, fmt.Errorf("send: %w", err)
	}
	if err := p.await(); err != nil {
		return 0, err
	}
	took := time.Since(sent)
	_ = p.sender.SetReadDeadline(time.Now().Add(patience))
	if _, _, err := p.sender.ReadMessage(); err != nil {
		return 0, fmt.Errorf("read the ack: %w", err)
	}
	return took, nil
}

func (p *liveLine) await() error {
	for {
		_ = p.hearing.SetReadDeadline(time.Now().Add(patience))
		_, b, err := p.hearing.ReadMessage()
		if err != nil {
			return fmt.Errorf("listen: %w", err)
		}
		var m struct {
			Type string
			Seq  uint64
			Lost uint64
		}
		if err := json.Unmarshal(b, &m); err != nil {
			return fmt.Errorf("listen: %w", err)
		}
		if m.Lost > 0 {
			return errors.New("the client was too slow")
		}
		if m.Type == "update" && m.Seq == p.seq {
			return nil
		}
	}
}
