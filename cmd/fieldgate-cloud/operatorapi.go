package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/fieldgate/fieldgate/cmd/cli"
	"github.com/fieldgate/fieldgate/gateway"

	"github.com/fieldgate/fieldgate/gateway/files"
)

const (
	answerTries   = 4                // a request is made; doing it again is safe
	requestWithin = 45 * time.Second // of one request; the server waits up to 30 s
	answerMost    = 1 << 20          // bytes
)

// apiFlags say where the operator's API is, and who asks.
type apiFlags struct {
	State     string `type:"path" placeholder:"DIR" help:"State directory of a server on this machine. It gives the address, the token and the certificate. Without it: --url and --token-file."`
	URL       string `name:"url" placeholder:"URL" help:"Address of the server: https://HOST[:PORT]. Without it: that of --state."`
	TokenFile string `type:"path" placeholder:"FILE" help:"File with the operator's token. Without it: that of --state."`
	CA        string `name:"ca" type:"path" placeholder:"FILE" help:"Authority of the server's certificate, PEM. Without it: that of --state, else the system's."`
}

// An operatorAPI is a server's API.
type operatorAPI struct {
	base, token string
	client      *http.Client
}

func (f apiFlags) open() (*operatorAPI, error) {
	if f.State == "" && (f.URL == "" || f.TokenFile == "") {
		return nil, fmt.Errorf("%w: give --state, or --url and --token-file", cli.ErrUsage)
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
		addr, err := files.Line(filepath.Join(f.State, addressFile))
		if err != nil {
			return nil, fmt.Errorf("no server has run on this state directory: %w; give --url", err)
		}
		api.base = "https://" + strings.ReplaceAll(addr, "%", "%25") // of a zone
	}
	at, err := url.Parse(api.base)
	if err != nil || at.Scheme != "https" || at.Host == "" || at.Path != "" || at.RawQuery != "" || at.User != nil {
		return nil, fmt.Errorf("%w: --url %s: want https://HOST[:PORT]", cli.ErrUsage, f.URL)
	}
	if api.token, err = files.Line(tokenFile); err != nil {
		return nil, fmt.Errorf("read the operator's token: %w", err)
	}
	if strings.ContainsFunc(api.token, func(r rune) bool { return r <= ' ' || r > '~' }) || api.token == "" {
		return nil, fmt.Errorf("read the operator's token: %s holds no token", tokenFile)
	}
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	if strings.Contains(at.Hostname(), "%") { // else net/http knows the name, also that of a proxy
		conf.ServerName = gateway.CertificateName(at.Hostname())
	}
	if ca != "" {
		if conf.RootCAs, err = files.Authorities(ca); err != nil {
			return nil, fmt.Errorf("read the authority: %w", err)
		}
	}
	api.client = &http.Client{Timeout: requestWithin, Transport: &http.Transport{TLSClientConfig: conf, DisableKeepAlives: true,
		MaxResponseHeaderBytes: 64 << 10, Proxy: http.ProxyFromEnvironment}}
	return api, nil
}

func there(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

// do makes a request until the server answers, and reads the answer into v.
func (a *operatorAPI) do(ctx context.Context, method, path string, body []byte, v any) error {
	tries := answerTries
	if method == http.MethodDelete {
		tries = 1 // what is gone by the first try would be unknown to the second
	}
	var status int
	var text []byte
	var err error
	for try := range tries {
		if try > 0 {
			select {
			case <-time.After(time.Duration(try) * time.Second):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if status, text, err = a.once(ctx, method, path, body); err == nil && status < 500 || ctx.Err() != nil {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("ask the server: %w", err)
	}
	var refused struct{ Message string }
	if status >= 400 {
		v = &refused
	}
	if err := json.Unmarshal(text, v); err != nil {
		return fmt.Errorf("ask the server: the answer (%d %s) is not JSON: is this a fieldgate-cloud?", status, http.StatusText(status))
	}
	if status >= 400 {
		return fmt.Errorf("the server refuses: %s", refused.Message)
	}
	return nil
}

func (a *operatorAPI) once(ctx context.Context, method, path string, body []byte) (status int, text []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, method, a.base+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Authorization", "Bearer "+a.token)
	resp, err := a.client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	text, err = io.ReadAll(io.LimitReader(resp.Body, answerMost))
	return resp.StatusCode, text, err
}
