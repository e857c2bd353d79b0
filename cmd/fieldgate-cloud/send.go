package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
)

const (
	answerTries   = 4                // a request is made; doing it again is safe
	requestWithin = 45 * time.Second // of one request; the server waits up to 30 s
	longPoll      = 25 * time.Second
	afterExpiry   = 10 * time.Second // for the result of a command that began in time
)

// sendCmd sends a command through a running server.
type sendCmd struct {
	Gateway string        `arg:"" help:"gateway_id."`
	Device  string        `arg:"" help:"device_id."`
	Action  string        `arg:"" help:"What the device is to do, such as set."`
	Value   string        `arg:"" optional:"" help:"Value of the action: a number, on or off."`
	TTL     time.Duration `default:"60s" help:"How long the command may wait; it never acts later. At most 168h."`
	Once    bool          `help:"Never send it a second time, not even when the answer is lost: for doors and resets."`
	Lease   time.Duration `help:"How long the set-point holds before the output falls back to its safe state; without it for ever."`
	Now     bool          `help:"Do not queue the command if the gateway is not connected."`
	Wait    bool          `help:"Wait for the outcome, and tell it by the exit code: 0 done, 1 failed, 3 rejected, 4 expired, 5 unknown, 6 not known yet."`
	apiFlags
}

// apiFlags say where the operator's API is, and who asks.
type apiFlags struct {
	State     string `type:"path" placeholder:"DIR" help:"State directory of a server on this machine: gives address, token and certificate."`
	URL       string `name:"url" placeholder:"URL" help:"Address of the server: https://HOST[:PORT]."`
	TokenFile string `type:"path" placeholder:"FILE" help:"File with the operator's token, without --state."`
	CA        string `name:"ca" type:"path" placeholder:"FILE" help:"Authority of the server's certificate, PEM; else the system's."`
}

// exits gives the exit code of an outcome, with --wait.
var exits = map[gateway.CommandState]int{
	gateway.CommandDone: 0, gateway.CommandFailed: exitFailed, gateway.CommandRejected: 3, gateway.CommandExpired: 4, gateway.CommandUnknown: 5,
}

const exitUnderWay = 6

// An outcome is an exit code other than 0, with its sentence.
type outcome struct {
	code     int
	sentence string
}

func (o *outcome) Error() string { return o.sentence }

// A sentCommand is what the API says of a command, or an error.
type sentCommand struct {
	ID      string               `json:"id"`
	State   gateway.CommandState `json:"state"`
	Result  *float64             `json:"result"`
	Error   string               `json:"error"`
	Message string               `json:"message"` // of an error
}

// Run sends the command and prints how far it comes.
func (c sendCmd) Run(ctx context.Context, out *output) error {
	body, id, err := c.body()
	if err != nil {
		return err
	}
	api, err := c.apiFlags.open()
	if err != nil {
		return err
	}
	path := "/v1/gateways/" + url.PathEscape(c.Gateway) + "/commands"
	now, err := api.do(ctx, http.MethodPost, path, body)
	if err != nil {
		return err
	}
	fmt.Fprintf(out.stdout, "%s %s\n", id, now)
	for until := time.Now().Add(c.TTL + afterExpiry); c.Wait && !ended(now.State) && time.Now().Before(until); {
		before := now.State
		if now, err = api.do(ctx, http.MethodGet, path+"/"+id+"?wait="+longPoll.String(), nil); err != nil {
			return fmt.Errorf("%w (the command is on its way; its id is %s)", err, id)
		}
		if now.State != before {
			fmt.Fprintf(out.stdout, "%s %s\n", id, now)
		}
	}
	code, final := exits[now.State]
	if !final {
		code = exitUnderWay
	}
	if !c.Wait && !final || code == 0 {
		return nil
	}
	return &outcome{code, fmt.Sprintf("%s of %s: %s", c.Action, c.Device, now)}
}

// ended tells whether the outcome is known; states that this version does not
// know end the waiting too.
func ended(s gateway.CommandState) bool { return s != "queued" && s != "sent" && s.Final() }

func (s sentCommand) String() string {
	text := string(s.State)
	if s.Result != nil {
		text += fmt.Sprintf(", at %v", *s.Result)
	}
	if s.Error != "" {
		text += ": " + s.Error
	}
	return text
}

// body gives the request, under an id that is drawn here, so that it can be
// made again.
func (c sendCmd) body() (body []byte, id string, err error) {
	q := map[string]any{"device_id": c.Device, "action": c.Action, "ttl_ms": c.TTL.Milliseconds(), "once": c.Once, "lease_ms": c.Lease.Milliseconds(), "queue": !c.Now}
	id = rand.Text()
	q["id"] = id
	switch c.Value {
	case "":
	case "on":
		q["value"] = 1
	case "off":
		q["value"] = 0
	default:
		v, err := strconv.ParseFloat(c.Value, 64)
		if err != nil {
			return nil, "", fmt.Errorf("%w: value %q: want a number, on or off", errUsage, c.Value)
		}
		q["value"] = v
	}
	if !gateway.ValidID(c.Gateway) {
		return nil, "", fmt.Errorf("%w: gateway id %q: want 1 to 64 of A-Z a-z 0-9 _ -", errUsage, c.Gateway)
	}
	if body, err = json.Marshal(q); err != nil {
		return nil, "", fmt.Errorf("%w: value %q: %w", errUsage, c.Value, err)
	}
	return body, id, nil
}

// An operatorAPI is a server's API.
type operatorAPI struct {
	base, token string
	client      *http.Client
}

func (f apiFlags) open() (*operatorAPI, error) {
	if f.State == "" && (f.URL == "" || f.TokenFile == "") {
		return nil, fmt.Errorf("%w: give --state, or --url and --token-file", errUsage)
	}
	api := &operatorAPI{base: strings.TrimSuffix(f.URL, "/")}
	tokenFile, ca := f.TokenFile, f.CA
	if f.State != "" {
		if tokenFile == "" {
			tokenFile = filepath.Join(f.State, "operator.token")
		}
		if made := filepath.Join(f.State, "ca.pem"); ca == "" && there(made) {
			ca = made
		}
	}
	if api.base == "" {
		addr, err := os.ReadFile(filepath.Join(f.State, addressFile))
		if err != nil {
			return nil, fmt.Errorf("no server has run on this state directory: %w; give --url", err)
		}
		api.base = "https://" + strings.TrimSpace(string(addr))
	}
	if !strings.HasPrefix(api.base, "https://") {
		return nil, fmt.Errorf("%w: --url %s: want https://HOST[:PORT]", errUsage, f.URL)
	}
	token, err := os.ReadFile(tokenFile)
	if err != nil {
		return nil, fmt.Errorf("read the operator's token: %w", err)
	}
	api.token = strings.TrimSpace(string(token))
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	if ca != "" {
		pem, err := os.ReadFile(ca)
		if err != nil {
			return nil, fmt.Errorf("read the authority: %w", err)
		}
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s holds no certificate in PEM", ca)
		}
	}
	api.client = &http.Client{Timeout: requestWithin, Transport: &http.Transport{TLSClientConfig: conf, DisableKeepAlives: true, Proxy: http.ProxyFromEnvironment}}
	return api, nil
}

func there(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

// do makes a request until the server answers.
func (a *operatorAPI) do(ctx context.Context, method, path string, body []byte) (c sentCommand, err error) {
	status := 0
	for try := range answerTries {
		if try > 0 {
			select {
			case <-time.After(time.Duration(try) * time.Second):
			case <-ctx.Done():
				return c, ctx.Err()
			}
		}
		if status, err = a.once(ctx, method, path, body, &c); err == nil && status < 500 || ctx.Err() != nil {
			break
		}
	}
	switch {
	case err != nil:
		return c, fmt.Errorf("ask the server: %w", err)
	case status >= 400:
		return c, fmt.Errorf("the server refuses: %s", c.Message)
	}
	return c, nil
}

func (a *operatorAPI) once(ctx context.Context, method, path string, body []byte, c *sentCommand) (status int, err error) {
	req, err := http.NewRequestWithContext(ctx, method, a.base+path, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Authorization", "Bearer "+a.token)
	resp, err := a.client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return 0, err
	}
	if err := json.Unmarshal(text, c); err != nil {
		return resp.StatusCode, fmt.Errorf("the answer (%s) is not JSON: is this a fieldgate-cloud?", resp.Status)
	}
	return resp.StatusCode, nil
}
