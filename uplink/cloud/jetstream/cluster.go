package jetstream

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/fieldgate/fieldgate/gateway/files"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

const (
	needMajor, needMinor = 2, 11 // of nats-server: the first with a ttl for a message

	needPayload   = wire.DefaultMessage + 64<<10 // bytes: a gateway's message, and the state in the headers
	replicasOfNew = 3
	safeReplicas  = 3               // from here on a majority outlives one server
	pingEvery     = 3 * time.Second // a dead connection is noticed after two
	connectWithin = 5 * time.Second // to one server
)

// A versionError says that a server is too old.
type versionError struct{ url, version string }

func (e *versionError) Error() string {
	return fmt.Sprintf("nats-server at %s is version %q; fieldgate-cloud needs %d.%d or newer, for documents that expire by themselves: "+
		"upgrade the cluster first",
		e.url, e.version, needMajor, needMinor)
}

// connect reaches a cluster, but not yet its streams. Nothing is buffered while the connection is
// broken: what would be published later would break the chain.
func (l *Log) connect() error {
	options := []nats.Option{
		nats.Name("fieldgate-cloud"), nats.Timeout(connectWithin), nats.ReconnectBufSize(-1), nats.MaxReconnects(-1),
		nats.ReconnectJitter(time.Second, time.Second), nats.PingInterval(pingEvery), nats.MaxPingsOutstanding(2),
		nats.DisconnectErrHandler(l.disconnected), nats.ReconnectHandler(l.reconnected), nats.ErrorHandler(l.asyncError),
	}
	if l.opt.Creds != "" {
		// nats.go opens it at every connection, and would wait for a FIFO.
		if _, err := files.Read(l.opt.Creds, files.MostPEM); err != nil {
			return fmt.Errorf("read the credentials for NATS: %w", err)
		}
		options = append(options, nats.UserCredentials(l.opt.Creds))
	}
	if l.opt.CA != "" {
		ca := files.Renew("the authority for NATS", []string{l.opt.CA}, func() (*x509.CertPool,
			error) {
			return files.Authorities(l.opt.CA)
		}, l.opt.Logger)
		if _, err := ca.Look(); err != nil {
			return fmt.Errorf("read the authority for NATS: %w", err)
		}
		options = append(options, nats.Secure(&tls.Config{MinVersion: tls.VersionTLS12}),
			func(o *nats.Options) error { o.RootCAsCB = ca.Look; return nil }) // asked at every connection
	}
	var err error
	if l.conn, err = nats.Connect(l.opt.URL, options...); err != nil {
		return fmt.Errorf("connect: %w", refusal(err))
	}
	if err := checkServer(l.conn); err != nil {
		return err
	}
	if l.js, err = jetstream.New(l.conn, jetstream.WithDefaultTimeout(l.opt.Timeout)); err != nil {
		return fmt.Errorf("reach JetStream: %w", err)
	}
	return nil
}

// join connects to a cluster and opens the streams there.
func (l *Log) join(ctx context.Context) error {
	err := l.connect()
	if err != nil {
		return err
	}
	if l.stream, err = l.keep(ctx, rawConfig(-1, replicasOfNew)); err != nil {
		return err
	}
	if l.docs, err = l.keep(ctx, docConfig(-1, replicasOfNew)); err != nil {
		return err
	}
	// Whether a single server syncs before it answers, or some time later, it
	// tells only its own operators.
	l.level = wire.LevelReceived
	if l.stream.CachedInfo().Config.Replicas >= safeReplicas {
		l.level = wire.LevelReplicated
	}
	return l.watch(ctx)
}

// checkServer refuses a server that lacks what is needed.
func checkServer(c *nats.Conn) error {
	url, version := c.ConnectedUrlRedacted(), c.ConnectedServerVersion()
	parts := strings.SplitN(version, ".", 3)
	major, err := strconv.Atoi(parts[0])
	minor := 0
	if err == nil && len(parts) > 1 {
		minor, err = strconv.Atoi(parts[1])
	}
	if err != nil || major < needMajor || major == needMajor && minor < needMinor {
		return &versionError{url, version}
	}
	if c.MaxPayload() < needPayload {
		return fmt.Errorf("nats-server at %s takes messages of %d bytes at most (max_payload); fieldgate-cloud needs %d", url,
			c.MaxPayload(), needPayload)
	}
	return nil
}

// keep makes a stream, or puts right what an ack rests on.
func (l *Log) keep(ctx context.Context, want jetstream.StreamConfig) (jetstream.Stream, error) {
	if l.opt.Replicas > 0 {
		want.Replicas = l.opt.Replicas
	}
	s, err := l.js.Stream(ctx, want.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		if s, err = l.js.CreateStream(ctx, want); err != nil {
			return nil, fmt.Errorf("make stream %s with %d replicas (see --nats-replicas): %w", want.Name, want.Replicas, err)
		}
		return s, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look at stream %s: %w", want.Name, err)
	}
	have := s.CachedInfo().Config
	cfg, err := keeping(have, want, l.opt.Replicas)
	if err != nil || reflect.DeepEqual(cfg, have) {
		return s, err
	}
	l.opt.Logger.Info("the stream's configuration is put right", "stream", want.Name)
	if s, err = l.js.UpdateStream(ctx, cfg); err != nil {
		return nil, fmt.Errorf("put stream %s right: %w", want.Name, err)
	}
	return s, nil
}

func (l *Log) interrupted(err error) {
	if l.opt.Interrupted != nil {
		l.opt.Interrupted(err)
	}
}

func (l *Log) disconnected(_ *nats.Conn, err error) {
	if err == nil {
		return // closed by ourselves
	}
	l.opt.Logger.Error("the connection to nats-server broke; connecting again", "error", err)
	l.interrupted(fmt.Errorf("the connection to nats-server broke: %w", err))
}

// refusal adds to an error of a server that does not let us in what can be
// done about it.
func refusal(err error) error {
	for _, is := range []error{nats.ErrAuthorization, nats.ErrAuthExpired, nats.ErrAuthRevoked, nats.ErrAccountAuthExpired} {
		if errors.Is(err, is) {
			return fmt.Errorf("%w: the credentials have ended or are wrong: renew the file of --nats-creds, or user and password in --nats", err)
		}
	}
	return err
}

func (l *Log) reconnected(c *nats.Conn) {
	if err := checkServer(c); err != nil {
		l.ended.Store(&ending{err})
		return
	}
	l.opt.Logger.Info("connected to nats-server again", "url", c.ConnectedUrlRedacted())
}

func (l *Log) asyncError(_ *nats.Conn, sub *nats.Subscription, err error) {
	subject := ""
	if sub != nil {
		subject = sub.Subject
	}
	l.opt.Logger.Warn("nats-server or its client reports an error", "subject", subject, "error", refusal(err))
}
