package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/fieldgate/fieldgate/cmd/cli"
	"github.com/fieldgate/fieldgate/gateway/files"
	"github.com/fieldgate/fieldgate/systemd"
	"github.com/fieldgate/fieldgate/uplink/cloud"
	"github.com/fieldgate/fieldgate/uplink/cloud/jetstream"
	"github.com/fieldgate/fieldgate/uplink/cloud/keyring"
)

const healthEvery = 5 * time.Second

// runCmd serves.
type runCmd struct {
	stateFlag      `embed:""`
	natsFlags      `embed:""`
	keepFlag       `embed:""`
	postgresFlag   `embed:""`
	admissionFlags `embed:""`
	alarmFlags     `embed:""`
	Listen         string     `required:"" placeholder:"ADDR" help:"Address to serve on, always with TLS: \"host:port\" or \":port\"."`
	Cert           string     `type:"path" placeholder:"FILE" and:"cert,key" xor:"certificate" help:"Certificate chain of the server, PEM. Without it the server makes an authority and a certificate in the state directory."`
	Key            string     `type:"path" placeholder:"FILE" and:"cert,key" help:"Key of the certificate, PEM. Only with --cert, never without it."`
	Name           []string   `placeholder:"NAME" sep:"," xor:"certificate" help:"DNS name or IP address for the certificate that the server makes. May be repeated. localhost, 127.0.0.1 and ::1 are always in it. Without it: these alone."`
	Origin         []string   `placeholder:"ORIGIN" sep:"none" help:"Origin of web pages that may read the API and listen on /v1/live, such as https://ops.example.com. They need the operator's token all the same. May be repeated. Without it: none."`
	LogLevel       slog.Level `default:"info" placeholder:"LEVEL" help:"What to log: debug, info, warn or error."`
}

// Run serves until ctx is done, or until the log can no longer be written.
func (c runCmd) Run(ctx context.Context, con cli.Console) error {
	log := logger(con.Err, c.LogLevel)
	// What can be refused is refused before anything is made: flags, lock,
	// address, certificate, then the log.
	var server atomic.Pointer[cloud.Server] // set below: the log may be interrupted before
	opt, where, err := c.serverOptions(log, &server)
	if err != nil {
		return err
	}
	release, err := keyring.LockState(c.State)
	if err != nil {
		return err
	}
	defer release()
	keeping := tellVolatile(c.State, log)
	ln, err := c.bind()
	if err != nil {
		return err
	}
	defer ln.Close()
	keys := c.keyFiles(log)
	present, err := keys.look()
	if err != nil {
		return err
	}
	records, err := jetstream.Open(ctx, where)
	if err != nil {
		return err
	}
	defer records.Close()
	carry, err := c.sink(records, log)
	if err != nil {
		return err
	}
	// The log is there: the server is made on it, and says where it listens.
	opt.Log, opt.Feed, opt.Gauge, opt.KV, opt.PubSub, opt.Health = records, records, records, records, records, records.Health
	opt.Credentials, opt.GatewayCA, opt.OperatorToken = c.keyringOn(records), present.GatewayCA, present.OperatorToken
	opt.Metrics = func(w io.Writer) { carry.metrics(w); writeLogMetrics(con.Err, w); writeStateMetrics(w, keeping) }
	srv := cloud.New(opt)
	srv.Use(present)
	server.Store(srv)
	c.announce(ln.Addr(), records, log)
	told := tellManager(ctx, log, fmt.Sprintf("serving on %s", ln.Addr()))
	defer told()
	// The workers end after the server, and the log after all of them.
	workers := []worker{
		carry.run,
		func(ctx context.Context) { keys.run(ctx, srv.Use, log) },
		func(ctx context.Context) { c.purging(ctx, records.Purge, log) },
	}
	err = serve(ctx, records, log, func(ctx context.Context) error {
		return beside(ctx, workers, func(ctx context.Context) error { return srv.Serve(ctx, ln, *present.Certificate) })
	})
	log.Info("stopped")
	return err
}

// serverOptions gives what the flags say of the server and of where its log lies.
func (c runCmd) serverOptions(log *slog.Logger, server *atomic.Pointer[cloud.Server]) (cloud.Options, jetstream.Options, error) {
	opt := cloud.Options{Logger: log}
	where, err := c.natsFlags.options(c.State, func(err error) {
		if s := server.Load(); s != nil {
			s.Interrupted(err)
		}
	})
	where.Logger = log
	return opt, where, errors.Join(err, c.admissionFlags.set(&opt), c.alarmFlags.set(&opt), c.origins(&opt))
}

// keyringOn is where the credentials lie: where the log does.
func (c runCmd) keyringOn(records *jetstream.Log) keyring.Credentials {
	if len(c.NATS) > 0 {
		return keyring.Credentials{KV: records}
	}
	return c.credentials()
}

// announce says where the server listens, to commands on this machine and in
// the log.
func (c runCmd) announce(addr net.Addr, records *jetstream.Log, log *slog.Logger) {
	if err := noteAddress(c.State, addr); err != nil { // on a full disk, for one
		log.Warn("commands on this machine may not find the server", "error", err)
	}
	log.Info(fmt.Sprintf("listening on %s", addr), "version", cli.Version(),
		"ca_file", c.caFile(), "operator_token_file", filepath.Join(c.State, keyring.OperatorTokenFile), "level", records.Level())
}

// origins puts the origins of pages into options.
func (c runCmd) origins(o *cloud.Options) error {
	for _, text := range c.Origin {
		origin, err := cloud.CheckOrigin(text)
		if err != nil {
			return fmt.Errorf("%w: --origin %w", cli.ErrUsage, err)
		}
		o.Origins = append(o.Origins, origin)
	}
	return nil
}

// serve ends when ctx is done, when serving fails, or when the log can no
// longer be written. After a failed write the log refuses all others until it
// is opened anew: so the process ends, and its supervisor starts it again.
func serve(ctx context.Context, records *jetstream.Log, log *slog.Logger, server func(context.Context) error) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var sick error
	var watching sync.WaitGroup
	watching.Go(func() {
		defer stop()
		sick = watch(ctx, records, log)
	})
	err := server(ctx)
	stop()
	watching.Wait()
	return errors.Join(err, sick)
}

// watch gives the failure after which the log must be opened anew, or nil when
// ctx is done. While the disk is full nothing would be better for that: what is
// stored is served, and the rest waits on the gateways.
func watch(ctx context.Context, records *jetstream.Log, log *slog.Logger) error {
	tick := time.NewTicker(healthEvery)
	defer tick.Stop()
	for full := false; ; {
		now := records.Full()
		switch err := records.Broken(); {
		case now != nil && !full:
			log.Error("nothing is stored until there is room", "error", now)
		case now == nil && err != nil:
			return fmt.Errorf("the log must be opened anew: %w", err)
		case now == nil && full:
			log.Info("there is room on the disk again")
			if err := records.Fit(ctx); err != nil {
				log.Warn("the log keeps the limits that it had on the full disk", "error", err)
			}
		}
		full = now != nil
		systemd.Alive() // only while the log answers
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// addressFile, in the state directory, says where this server listens, for
// commands on the same machine.
const addressFile = "address"

func noteAddress(state string, addr net.Addr) error {
	host, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		return fmt.Errorf("note the address: %w", err)
	}
	if ip, err := netip.ParseAddr(host); err != nil || ip.IsUnspecified() {
		host = "localhost"
	}
	if err := os.WriteFile(filepath.Join(state, addressFile), []byte(net.JoinHostPort(host, port)+"\n"), 0o644); err != nil {
		return fmt.Errorf("note the address: %w", err)
	}
	return nil
}

func (c runCmd) bind() (net.Listener, error) {
	ln, err := net.Listen("tcp", c.Listen)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("address %s is in use by another program: stop that one, or choose another address with --listen", c.Listen)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot listen on the address given with --listen: %w", err)
	}
	return ln, nil
}

func (c runCmd) certificate() (tls.Certificate, error) {
	if c.Cert == "" {
		return keyring.Certificate(c.State, c.Name)
	}
	cert, err := files.KeyPair(c.Cert, c.Key)
	if err != nil {
		return cert, fmt.Errorf("certificate given with --cert and --key: %w", err)
	}
	return cert, nil
}

// caFile is what gateways must trust; "" if the certificate was given.
func (c runCmd) caFile() string {
	if c.Cert != "" {
		return ""
	}
	return filepath.Join(c.State, keyring.CAFile)
}
