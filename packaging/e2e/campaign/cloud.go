package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/fieldgate/fieldgate/packaging/e2e/campaign/disk"
	"github.com/fieldgate/fieldgate/packaging/e2e/campaign/judge"
)

// A cloud is the server and its card.
type cloud struct {
	testbed *testbed
	card    *disk.Card
	port    int
	random  *rand.Rand
	client  *http.Client
	token   string

	run    *program
	copy   string
	copied time.Time
	copies int

	mu   sync.Mutex
	well time.Time // since when; zero: it is not
}

func (c *cloud) state() string    { return filepath.Join(c.card.Mount, "state") }
func (c *cloud) bootFile() string { return c.testbed.path("cloud.boot") }
func (c *cloud) ballast() string  { return filepath.Join(c.card.Mount, "ballast") }

// insert puts the card in and boots.
func (c *cloud) insert(check string) error {
	if err := c.card.Insert(check, 0); err != nil {
		return err
	}
	_ = os.Remove(c.ballast()) // a power cut may have taken back that it was removed
	return boot(c.bootFile())
}

func (c *cloud) wellSince() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.well
}

func (c *cloud) setWell(well bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.well = (time.Time{}); well {
		c.well = time.Now()
	}
}

// enrol makes the gateways known, and what they need to connect.
func (c *cloud) enrol(gateways []string) error {
	for _, g := range gateways {
		token, err := exec.Command(c.testbed.server, "gateway", "add", g, "--state", c.state()).Output()
		if err == nil {
			err = os.WriteFile(c.testbed.path(g+".token"), token, 0o600)
		}
		if err != nil {
			return fmt.Errorf("add gateway %s: %w", g, err)
		}
	}
	return nil
}

func (c *cloud) start() error {
	p, err := launch(c.testbed.path("cloud.log"), c.bootFile(), c.testbed.server,
		"run", "--listen", fmt.Sprintf("127.0.0.1:%d", c.port), "--state", c.state(), "--name", "localhost")
	c.run = p
	return err
}

// rise starts the server and takes it for well when it answers.
func (c *cloud) rise(ctx context.Context) error {
	if err := c.start(); err != nil {
		return err
	}
	began := time.Now()
	for ctx.Err() == nil {
		if c.run.gone() {
			c.testbed.act(judge.Act{To: "cloud", What: "ended by itself", Detail: c.run.told()})
			time.Sleep(time.Second)
			if time.Since(began) > 2*time.Minute {
				return fmt.Errorf("the cloud does not run: %s", c.run.told())
			}
			if err := c.start(); err != nil {
				return err
			}
		}
		if c.client == nil {
			_ = c.trust()
		}
		if c.client != nil && c.get(ctx, "/v1/gateways", nil, func(io.Reader) error { return nil }) == nil {
			c.setWell(true)
			return nil
		}
		if time.Since(began) > 3*time.Minute {
			return fmt.Errorf("the cloud does not answer: %s", c.run.told())
		}
		time.Sleep(100 * time.Millisecond)
	}
	return ctx.Err()
}

// trust reads what an operator has.
func (c *cloud) trust() error {
	ca, err1 := os.ReadFile(filepath.Join(c.state(), "ca.pem"))
	token, err2 := os.ReadFile(filepath.Join(c.state(), "operator.token"))
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	c.token = strings.TrimSpace(string(token))
	secure := &tls.Config{RootCAs: pool, ServerName: "localhost"}
	c.client = &http.Client{Transport: &http.Transport{TLSClientConfig: secure, DisableKeepAlives: true}}
	return os.WriteFile(c.testbed.path("ca.pem"), ca, 0o644)
}

// down ends the server.
func (c *cloud) down(s syscall.Signal) {
	c.setWell(false)
	c.run.signal(s)
	if !c.run.wait(time.Minute) {
		c.run.signal(syscall.SIGKILL)
		c.card.Heal()
		c.run.wait(time.Minute)
	}
}

// get makes an operator's request.
func (c *cloud) get(ctx context.Context, path string, query url.Values, take func(io.Reader) error) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	address := fmt.Sprintf("https://127.0.0.1:%d%s?%s", c.port, path, query.Encode())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	res, err := c.client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", path, res.Status)
	}
	return take(res.Body)
}

// claim asks whether a gateway is complete.
func (c *cloud) claim(ctx context.Context, gateway string, query url.Values) (judge.Claim, error) {
	k := judge.Claim{At: time.Now().UTC()}
	err := c.get(ctx, "/v1/gateways/"+gateway+"/completeness", query, func(r io.Reader) error { return json.NewDecoder(r).Decode(&k) })
	k.Gateway = gateway
	return k, err
}

// listen asks again and again, until ctx ends, about all gateways, now for
// everything, now for a part of the past.
func (c *cloud) listen(ctx context.Context, gateways []string, random *rand.Rand) {
	for ctx.Err() == nil {
		for _, g := range gateways {
			query := url.Values{}
			if random.IntN(2) == 0 {
				to := time.Now().Add(-time.Duration(random.IntN(60_000)) * time.Millisecond)
				query.Set("to", to.UTC().Format(time.RFC3339Nano))
				query.Set("from", to.Add(-time.Duration(1+random.IntN(120))*time.Second).UTC().Format(time.RFC3339Nano))
			}
			if k, err := c.claim(ctx, g, query); err == nil {
				c.testbed.evidence.note(judge.ClaimsFile, k)
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}

// exportTries is how often a log is asked for whose export breaks off.
const exportTries = 3

// export writes the cloud's whole log into the evidence, a gateway's lines only once they are all there.
func (c *cloud) export(ctx context.Context, gateway string) error {
	lines, err := os.CreateTemp(c.testbed.dir, "export-")
	if err != nil {
		return err
	}
	defer os.Remove(lines.Name())
	defer lines.Close()
	for try := 1; ; try++ {
		if err := errors.Join(lines.Truncate(0), rewind(lines)); err != nil {
			return err
		}
		err := c.get(ctx, "/v1/gateways/"+gateway+"/readings", nil, func(r io.Reader) error {
			_, err := io.Copy(lines, r)
			return err
		})
		if err == nil {
			break
		}
		if try == exportTries {
			return err
		}
		fmt.Printf("campaign: the export of %s broke off (%v) and is asked for again\n", gateway, err)
	}
	if err := rewind(lines); err != nil {
		return err
	}
	return c.testbed.copyLines(judge.CloudFile, lines, nil)
}

func rewind(f *os.File) error {
	_, err := f.Seek(0, io.SeekStart)
	return err
}

// copyLines writes lines into the evidence as they are, with more fields.
func (w *testbed) copyLines(file string, r io.Reader, more map[string]string) error {
	in := bufio.NewScanner(r)
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		if more == nil {
			w.evidence.note(file, json.RawMessage(in.Bytes()))
			continue
		}
		var fields map[string]any
		if err := json.Unmarshal(in.Bytes(), &fields); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		for k, v := range more {
			fields[k] = v
		}
		w.evidence.note(file, fields)
	}
	return in.Err()
}
