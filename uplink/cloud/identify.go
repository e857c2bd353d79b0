package cloud

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/fieldgate/fieldgate/uplink/cloud/keyring"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// youngSession may have been opening while its credential was taken away.
const youngSession = helloWithin + openWithin + recheckEvery

const (
	certificateLet = 30 * 24 * time.Hour // so long after its end a certificate may still be exchanged
	recheckAll     = 5 * time.Minute     // whatever was told meanwhile
	watchAgain     = 5 * time.Second     // after the KV failed
)

// A proof is what a request showed of who it is.
type proof struct {
	id   string
	hash [32]byte
	kind string // of the Key
}

// identify gives who a request is from: by its client certificate if it has
// one, else by its bearer token. The first use of the next key of a rotation
// ends the other. What is wrong with the request is ErrCredential. expired is
// how long after its end a certificate is still taken.
func (s *Server) identify(r *http.Request, expired time.Duration) (proof, error) {
	p, err := s.shown(r, expired)
	if err != nil {
		return p, err
	}
	next, err := s.opt.Credentials.Find(p.id, p.hash, p.kind)
	if err != nil || !next {
		return p, err
	}
	rotated, err := s.opt.Credentials.Used(p.id, p.hash)
	if rotated {
		s.audit("rotated", p.id, "the gateway uses its new credential; the old one has ended", "remote", r.RemoteAddr)
	}
	return p, err
}

// shown reads what a request shows, without asking whether it is (still) good
// for anything.
func (s *Server) shown(r *http.Request, expired time.Duration) (proof, error) {
	if token := bearer(r); token != "" || r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		id, hash, err := keyring.Split(token)
		return proof{id: id, hash: hash}, err
	}
	cert := r.TLS.PeerCertificates[0]
	id, err := keyring.GatewayOf(cert, s.keys.Load().GatewayCA, expired)
	return proof{id, sha256.Sum256(cert.Raw), keyring.KindCertificate}, err
}

// askForCertificates makes a server take client certificates. They are
// verified in identify: a handshake that fails tells a gateway less than an
// answer does, and an expired one may still be exchanged.
func askForCertificates(c *tls.Config, ca *tls.Certificate) {
	if ca == nil {
		return
	}
	c.ClientAuth = tls.RequestClientCert
	c.ClientCAs = x509.NewCertPool() // only names whom we want: browsers then ask nobody
	c.ClientCAs.AddCert(ca.Leaf)
}

// recheck ends the sessions of gateways whose credential is gone or another:
// at once when it is told of a change, and looks at all from time to time.
func (s *Server) recheck() {
	var watching = make(chan struct{})
	go func() {
		defer close(watching)
		s.watchCredentials()
	}()
	defer func() { <-watching }()
	tick := time.NewTicker(recheckEvery)
	defer tick.Stop()
	all := time.Now()
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-tick.C:
		}
		everyone := time.Since(all) > recheckAll
		if everyone {
			all = time.Now()
		}
		for _, x := range s.sessions() {
			if everyone || time.Since(x.since) < youngSession {
				s.recheckSession(x)
			}
		}
	}
}

// watchCredentials hears of changes, on whichever server they are made.
func (s *Server) watchCredentials() {
	for s.ctx.Err() == nil {
		err := s.opt.Credentials.Store().Watch(s.ctx, "cred", func(d record.Doc) {
			if x := s.connected(strings.TrimPrefix(d.Key, "cred.")); x != nil {
				s.recheckSession(x)
			}
		})
		if err != nil && s.ctx.Err() == nil {
			s.opt.Logger.Warn("cannot hear of changes to credentials; looks at them again in a while", "error", err)
		}
		pause, cancel := context.WithTimeout(s.ctx, watchAgain)
		<-pause.Done()
		cancel()
	}
}

// connected gives the session of a gateway, welcomed or not.
func (s *Server) connected(id string) *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.gateways[id]; l != nil {
		return l.session
	}
	return nil
}

func (s *Server) recheckSession(x *session) {
	if errors.Is(s.opt.Credentials.Check(x.gatewayID, x.secret), keyring.ErrCredential) {
		s.audit("revoked", x.gatewayID, "a session was ended because its credential was taken away", "remote", x.remote)
		x.stop(&closing{wire.CloseForbidden, "the credential was removed"})
	}
}
