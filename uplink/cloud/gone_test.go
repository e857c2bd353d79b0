package cloud_test

import (
	"context"
	"iter"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/packaging/e2e"
	"github.com/fieldgate/fieldgate/uplink/cloud"
	"github.com/fieldgate/fieldgate/uplink/cloud/cloudtest"
	"github.com/fieldgate/fieldgate/uplink/cloud/keyring"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
)

// A lastingLog has more to read than anybody waits for: reading ends with its
// context, or with the test.
type lastingLog struct {
	record.Log
	over         <-chan struct{}
	began, ended chan struct{}
}

func (l *lastingLog) Read(ctx context.Context, _ string, _ uint64) iter.Seq2[record.Record, error] {
	return func(yield func(record.Record, error) bool) {
		l.began <- struct{}{}
		select {
		case <-ctx.Done():
			l.ended <- struct{}{}
		case <-l.over:
		}
		yield(record.Record{}, context.Canceled)
	}
}

// When the client of a request has gone, the work for it ends.
func TestRequestsEndWithTheirClients(t *testing.T) {
	creds := keyring.Credentials{Dir: t.TempDir()}
	if _, err := creds.Add("g"); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"readings", "readings?format=csv", "completeness", "events"} {
		t.Run(path, func(t *testing.T) {
			log := &lastingLog{&cloudtest.Log{}, t.Context().Done(), make(chan struct{}, 1), make(chan struct{}, 1)}
			server := cloud.New(cloud.Options{Log: log, Feed: cloudtest.Feed{}, Gauge: cloudtest.Feed{}, KV: &cloudtest.KV{},
				PubSub:      &cloudtest.PubSub{},
				Credentials: creds, OperatorToken: operatorToken, Logger: quiet(t)})
			hs := httptest.NewServer(server)
			t.Cleanup(func() { server.Close(); hs.Close() })
			ctx, leave := context.WithCancel(t.Context())
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, hs.URL+"/v1/gateways/g/"+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header = auth(operatorToken)
			go func() {
				<-log.began
				leave()
			}()
			if resp, err := hs.Client().Do(r); err == nil {
				resp.Body.Close()
				t.Fatalf("answered with %s", resp.Status)
			}
			select {
			case <-log.ended:
			case <-time.After(e2e.Patience):
				t.Error("the log is still read for a client that has gone")
			}
		})
	}
}
