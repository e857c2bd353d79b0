package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/files"
	"github.com/fieldgate/fieldgate/store"
)

const (
	deliveryLook = 20 * time.Millisecond
	proofWithin  = 10 * time.Second // the cloud's ledger is a moment behind its acks
)

// A due is what waited for the cloud at a time.
type due struct {
	store *store.Store
	n     uint64
	began time.Time
	last  map[gateway.EpochID]uint64
}

func owedOf(s *store.Store) *due {
	d := &due{store: s, began: time.Now(), last: map[gateway.EpochID]uint64{}}
	for _, e := range s.Epochs() {
		d.last[e.ID] = e.Last
	}
	d.n = d.left()
	return d
}

// left is how much of it still waits.
func (d *due) left() (n uint64) {
	for _, e := range d.store.Epochs() {
		if last := d.last[e.ID]; last > e.Acked && !e.Done {
			n += last - max(e.Acked, e.Oldest-1)
		}
	}
	return n
}

// tell tells how it gets less, and at the end what the cloud says of it.
func (d *due) tell(ctx context.Context, cloud *demoCloud, out io.Writer) {
	ticker := time.NewTicker(deliveryLook)
	defer ticker.Stop()
	told := time.Now()
	for left := d.left(); left > 0; left = d.left() {
		if time.Since(told) >= tellEvery {
			told = time.Now()
			fmt.Fprintf(out, "uplink restored: %d of %d readings still wait on this board\n", left, d.n)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
	took := time.Since(d.began)
	fmt.Fprintf(out, "%d readings delivered in %.1f s, %s\n", d.n, took.Seconds(), cloud.proof(ctx, d.began))
}

// proof is what the cloud says of everything up to a time: "complete", or what
// it lacks.
func (l *demoCloud) proof(ctx context.Context, upto time.Time) string {
	ctx, cancel := context.WithTimeout(ctx, proofWithin)
	defer cancel()
	for {
		complete, sentence, err := l.completeness(ctx, upto)
		if err == nil && complete {
			return "complete"
		}
		select {
		case <-ctx.Done():
			if sentence == "" {
				return fmt.Sprintf("but the cloud was not heard on it: %v", err)
			}
			return "but the cloud says: " + sentence
		case <-time.After(10 * deliveryLook):
		}
	}
}

// completeness asks the cloud's API.
func (l *demoCloud) completeness(ctx context.Context, upto time.Time) (complete bool, sentence string, err error) {
	token, err := files.Line(filepath.Join(l.state, "operator.token"))
	if err != nil {
		return false, "", err
	}
	authority, err := files.Authorities(l.ca())
	if err != nil {
		return false, "", err
	}
	at := url.URL{Scheme: "https", Host: l.listen, Path: "/v1/gateways/" + demoID + "/completeness", RawQuery: url.Values{"to": {upto.UTC().Format(time.RFC3339Nano)}}.Encode()}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), nil)
	if err != nil {
		return false, "", err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	client := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: authority, MinVersion: tls.VersionTLS12}, DisableKeepAlives: true}}
	answer, err := client.Do(req)
	if err != nil {
		return false, "", err
	}
	defer answer.Body.Close()
	var said struct {
		Complete bool
		Sentence string
	}
	err = json.NewDecoder(io.LimitReader(answer.Body, 8<<20)).Decode(&said)
	return said.Complete, said.Sentence, err
}
