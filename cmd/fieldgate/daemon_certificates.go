package main

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"sync"
	"time"

	"github.com/fieldgate/fieldgate/gateway/files"
	"github.com/fieldgate/fieldgate/gateway/health"
)

const (
	codeCertificateEnds = "certificate_ends" // soon, or it has ended; the subject is its file, or "cloud"
	certificateNotice   = 14 * 24 * time.Hour
	certificateLook     = 10 * time.Second
)

// watchCertificates takes renewed authorities, at SIGHUP at once, and tells 14
// days before a certificate ends.
func (d *daemon) watchCertificates(ctx context.Context) error {
	tick := time.NewTicker(certificateLook)
	defer tick.Stop()
	raised := map[string]bool{}
	for {
		d.tellEnds(raised)
		select {
		case <-ctx.Done():
			return nil
		case <-d.hangUps:
			d.log.Info("SIGHUP: certificates and tokens are read again; the configuration counts from the next start on")
			d.uplink.Wake()
		case <-tick.C:
		}
	}
}

// tellEnds raises a condition for every certificate that ends soon, by
// the best time there is: a clock that was never set is at least at the floor.
func (d *daemon) tellEnds(raised map[string]bool) {
	ends := d.certificateEnds()
	d.ends.set(ends)
	now := d.clock.Anchor().Wall(d.clock.Stamp())
	if floor := d.floor(); floor.After(now) {
		now = floor
	}
	for of := range raised {
		if end, is := ends[of]; !is || end.Sub(now) >= d.notice(of) {
			d.health.Clear(codeCertificateEnds, of, "the certificate in "+of+" was renewed")
			delete(raised, of)
		}
	}
	for of, end := range ends {
		if end.Sub(now) >= d.notice(of) {
			continue
		}
		severity, text := health.Warning, fmt.Sprintf("the certificate in %s ends on %s", of, end.UTC().Format(time.DateOnly))
		if end.Before(now) {
			severity, text = health.Error, fmt.Sprintf("the certificate in %s ended on %s", of, end.UTC().Format(time.DateOnly))
		}
		raised[of] = true
		d.health.Raise(codeCertificateEnds, of, severity, text+": "+d.renewal(of))
	}
}

// notice is how long before its end a certificate is told of. This gateway's
// own is renewed when two thirds of its life are over: with a short life that
// is later than 14 days before its end.
func (d *daemon) notice(of string) time.Duration {
	if of == ofGateway {
		return min(certificateNotice, d.credential.Life()/4)
	}
	return certificateNotice
}

// renewal says what to do.
func (d *daemon) renewal(of string) string {
	switch of {
	case ofCloud:
		return "whoever runs the cloud must renew it; without it this gateway cannot connect"
	case ofGateway:
		return "this gateway has it renewed by itself when the cloud can be reached; else enrol it again"
	}
	return "put the new one in its place; it is taken without a restart"
}

// Certificates that are in no file of the configuration.
const (
	ofCloud   = "cloud"
	ofGateway = "credential.json"
)

// ends are what was seen last.
type ends struct {
	mu   sync.Mutex
	seen map[string]time.Time // replaced whole
}

func (e *ends) set(seen map[string]time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.seen = seen
}

func (e *ends) of() map[string]time.Time {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.seen
}

// certificateEnds gives when each certificate ends that this gateway depends
// on, by where it is from. Of several in a file the first end counts.
func (d *daemon) certificateEnds() map[string]time.Time {
	ends := map[string]time.Time{}
	for _, look := range []func() (trust, error){d.ca, d.proxyCA} { // an error is told at the next connection
		if t, _ := look(); !t.until.IsZero() {
			ends[t.path] = t.until
		}
	}
	if end := d.credential.Ends(); !end.IsZero() {
		ends[ofGateway] = end
	}
	if end := d.uplink.Status().CertEnds; !end.IsZero() {
		ends[ofCloud] = end
	}
	return ends
}

// fewCertificates are in a file that somebody made for this gateway. One with
// more is a system's bundle, in which there is always one that ends.
const fewCertificates = 8

// firstEnd is when the first of a file's few certificates ends; zero: none is
// there.
func firstEnd(path string) (first time.Time) {
	if path == "" {
		return first
	}
	n := 0
	text, err := files.Text(path, files.MostPEM)
	for block, rest := pem.Decode(text); err == nil && block != nil; block, rest = pem.Decode(rest) {
		if cert, err := x509.ParseCertificate(block.Bytes); err == nil && (first.IsZero() || cert.NotAfter.Before(first)) {
			first = cert.NotAfter
		}
		if n++; n > fewCertificates {
			return time.Time{}
		}
	}
	return first
}
