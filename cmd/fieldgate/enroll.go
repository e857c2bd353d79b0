package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/fieldgate/fieldgate/cmd/cli"
	"github.com/fieldgate/fieldgate/drivers/builtin"
	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/config"
	"github.com/fieldgate/fieldgate/uplink/identity"
	"github.com/fieldgate/fieldgate/uplink/proxy"
)

type enrollCommand struct {
	URL       string `arg:"" optional:"" help:"Address of the cloud: https://HOST[:PORT], or wss://HOST[:PORT]/…. Without it: [uplink] url, and then urls."`
	TokenFile string `type:"path" placeholder:"FILE" help:"File with the one-time token that fieldgate-cloud token add printed. It is removed when the board has its credential. Without it: the token is read from the terminal or from standard input."`
	MTLS      bool   `name:"mtls" help:"Ask for a certificate in the place of a token. Its key never leaves this board. TLS must then reach the cloud server itself."`
	CA        string `name:"ca" type:"path" placeholder:"FILE" help:"PEM file with the authority that signed the certificate of the cloud. Without it: ca in [uplink], else the authorities of the system."`
	Config    string `default:"/etc/fieldgate/fieldgate.toml" help:"Configuration file. It names the state folder, the proxy and the authority."`
}

// Run exchanges a one-time token for this gateway's credential. A daemon that
// runs meanwhile finds it within seconds.
func (k *enrollCommand) Run(ctx context.Context, c cli.Console) error {
	cfg, err := config.Load(k.Config, builtin.Drivers())
	if err != nil {
		return err
	}
	id := cfg.Gateway.ID
	if id == "" {
		if id, err = config.DerivedID("/"); err != nil {
			return err
		}
	}
	client, err := k.client(cfg.Uplink)
	if err != nil {
		return err
	}
	token, err := k.token(c)
	if err != nil {
		return err
	}
	// Refused before anything is used up.
	if rest, ok := strings.CutPrefix(token, "fge1_"); ok && rest[:max(0, strings.LastIndexByte(rest, '_'))] != id {
		return fmt.Errorf("this token is for gateway %q, but this is %q: set id in [gateway], or have a token made for this one",
			rest[:max(0, strings.LastIndexByte(rest, '_'))], id)
	}
	if err := os.MkdirAll(cfg.Store.Dir, 0o700); err != nil {
		return fmt.Errorf("make the state directory: %w", err)
	}
	e := identity.Enrolment{Token: token, Certificate: k.MTLS, Dir: cfg.Store.Dir, Seed: secretFile(cfg.Uplink.TokenFile), Client: client}
	grant, err := k.enroll(ctx, c, e, cfg.Uplink)
	if err != nil {
		return err
	}
	if k.TokenFile != "" {
		if err := os.Remove(k.TokenFile); err != nil {
			fmt.Fprintf(c.Err, "fieldgate: the one-time token is used up, but its file could not be removed: %v\n", err)
		}
	}
	return k.tell(c, cfg.Uplink, grant)
}

// enroll asks the addresses of the cloud in their order, each only where the
// one before could not be reached: they are of one cloud, which gives the same
// answer to the same request.
func (k *enrollCommand) enroll(ctx context.Context, c cli.Console, e identity.Enrolment,
	cfg config.Uplink) (grant identity.Grant, err error) {
	addresses := []string{k.URL}
	if k.URL == "" {
		addresses = append([]string{cfg.URL}, cfg.URLs...)
	}
	if addresses[0] == "" {
		return grant, errors.New("which cloud? Give its address, or set [uplink] url in the configuration")
	}
	for i, address := range addresses {
		e.URL, k.URL = address, address
		grant, err = e.Enroll(ctx)
		if err == nil || !errors.Is(err, identity.ErrUnreached) || ctx.Err() != nil || i == len(addresses)-1 {
			break
		}
		fmt.Fprintf(c.Err, "fieldgate: an address of the cloud cannot be reached, the next one is tried: %v\n", err)
	}
	return grant, err
}

// token reads the one-time token: from its file, or from whoever is there.
func (k *enrollCommand) token(c cli.Console) (string, error) {
	if k.TokenFile != "" {
		return readSecret(k.TokenFile)
	}
	if info, err := os.Stdin.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
		fmt.Fprint(c.Err, "One-time token: ")
	}
	line, err := bufio.NewReader(io.LimitReader(os.Stdin, secretMost)).ReadString('\n')
	if token := strings.TrimSpace(line); token != "" {
		return token, nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = errors.New("nothing there")
	}
	return "", fmt.Errorf("read the one-time token from standard input: %w", err)
}

// client goes the way that the uplink goes.
func (k *enrollCommand) client(cfg config.Uplink) (*http.Client, error) {
	ca := k.CA
	if ca == "" {
		ca = cfg.CA
	}
	pool, err := authorities(ca)()
	if err != nil {
		return nil, err
	}
	route := proxy.Route{Proxy: proxyAddress(cfg), Authorities: authorities(cfg.ProxyCA), Now: afterBuild}
	way := &http.Transport{
		DialTLSContext: func(ctx context.Context, _, host string) (net.Conn, error) {
			under, err := route.Connect(ctx, host)
			if err != nil {
				return nil, err
			}
			name, _, _ := net.SplitHostPort(host) // net/http puts a port there
			secure := tls.Client(under, &tls.Config{
				ServerName: gateway.CertificateName(name), RootCAs: pool, MinVersion: tls.VersionTLS12, Time: afterBuild,
			})
			if err := secure.HandshakeContext(ctx); err != nil {
				_ = under.Close() // nothing was said over it
				return nil, err
			}
			return secure, nil
		},
		DisableKeepAlives: true, MaxResponseHeaderBytes: 64 << 10,
	}
	refuse := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &http.Client{Transport: way, CheckRedirect: refuse}, nil
}

// afterBuild is the time to check certificates against: a board whose clock was
// never set is at least as late as its program.
func afterBuild() time.Time {
	now := time.Now()
	if b := cli.Built(); b.After(now) {
		return b
	}
	return now
}

// tell says what has come, and what is left to do.
func (k *enrollCommand) tell(c cli.Console, cfg config.Uplink, grant identity.Grant) error {
	what := "a token"
	if grant.Certificate != "" {
		what = "a certificate until " + grant.NotAfter.Format(time.DateOnly)
	}
	text := fmt.Sprintf("enrolled as %s, with %s; the daemon exchanges it in time by itself\n", grant.GatewayID, what)
	at, err := url.Parse(k.URL)
	if err != nil {
		return errors.New("the address cannot be read") // it was used a moment ago
	}
	var missing []string
	if cfg.URL == "" {
		missing = append(missing, fmt.Sprintf("url = \"wss://%s/v1/gateway\"", at.Host))
	}
	if k.CA != "" && cfg.CA == "" {
		missing = append(missing, fmt.Sprintf("ca = %q", k.CA))
	}
	if len(missing) > 0 {
		text += "set in the configuration, and restart the service:\n[uplink]\n" + strings.Join(missing, "\n") + "\n"
	}
	_, err = io.WriteString(c.Out, text)
	return err
}
