package cloud

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fieldgate/fieldgate/uplink/cloud/cloudtest"
	"github.com/fieldgate/fieldgate/uplink/cloud/keyring"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
)

// A stuckLog hears of nothing while it is read.
type stuckLog struct {
	record.Log
	began, over chan struct{}
}

func (l *stuckLog) Read(context.Context, string, uint64) iter.Seq2[record.Record, error] {
	return func(func(record.Record, error) bool) {
		close(l.began)
		<-l.over
	}
}

// A question that finds no end holds up the stop of the server for five
// seconds, no longer.
func TestQuestionWithoutAnEndDoesNotHoldUpAStop(t *testing.T) {
	ca, err := keyring.GatewayCA(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	creds := keyring.Credentials{Dir: t.TempDir()}
	if _, err := creds.Add("g"); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		log := &stuckLog{&cloudtest.Log{}, make(chan struct{}), make(chan struct{})}
		s := inMemory(Options{Log: log, Credentials: creds, OperatorToken: "operator", Logger: slog.New(slog.DiscardHandler)})
		ln := make(pipes)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- s.Serve(ctx, ln, ca) }()
		ours, theirs := net.Pipe()
		ln <- theirs
		c := tls.Client(ours, &tls.Config{InsecureSkipVerify: true})
		if _, err := fmt.Fprint(c, "GET /v1/gateways/g/completeness HTTP/1.1\r\nHost: cloud\r\n"+
			"Authorization: Bearer operator\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		go func() { _, _ = io.Copy(io.Discard, c) }() // until the server closes it
		<-log.began
		began := time.Now()
		stop()
		close(ln) // as closing a real listener does
		if err := <-ended; err != nil || time.Since(began) > 5*time.Second {
			t.Errorf("the server took %v to stop: %v", time.Since(began), err)
		}
		close(log.over)
	})
}
