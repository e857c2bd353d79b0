package cloud

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/fieldgate/fieldgate/uplink/cloud/keyring"
)

// useIdentity adds the parts behind enrolment and the audit log.
func (s *Server) useIdentity() {
	s.parts = append(s.parts, part{run: s.sweepTokens}, part{run: s.auditLog.run})
}

func (s *Server) sweepTokens(ctx context.Context) {
	tick := time.NewTicker(keyring.SweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			s.opt.Credentials.Sweep()
		}
	}
}

// serveEnroll answers POST /v1/enroll.
func (s *Server) serveEnroll(w http.ResponseWriter, r *http.Request) {
	from := s.gate.of(r.RemoteAddr)
	if !s.admitAddress(w, from) {
		return
	}
	q, err := readEnrollment(w, r)
	var g keyring.Grant
	if err == nil {
		g, err = s.opt.Credentials.Redeem(q, s.issuer())
	}
	if err != nil {
		s.denyGrant(w, r, from, err)
		return
	}
	s.audit("enrolled", g.GatewayID, "a gateway was enrolled with a one-time token", "remote", r.RemoteAddr, "certificate",
		g.Certificate != "")
	answer(w, g)
}

// serveRotate answers POST /v1/credentials/rotate: another key for who shows a
// valid one. It may be asked for again and again; only the last one counts.
func (s *Server) serveRotate(w http.ResponseWriter, r *http.Request) {
	from := s.gate.of(r.RemoteAddr)
	if !s.admitAddress(w, from) {
		return
	}
	p, err := s.identify(r, certificateLet)
	if err == nil && !s.admitGateway(w, p.id) {
		return
	}
	var g keyring.Grant
	if err == nil {
		g, err = s.rotate(w, r, p.id)
	}
	if err != nil {
		s.denyGrant(w, r, from, err)
		return
	}
	s.audit("rotation", g.GatewayID, "a gateway was given its next credential", "remote", r.RemoteAddr, "certificate", g.Certificate != "")
	answer(w, g)
}

func (s *Server) rotate(w http.ResponseWriter, r *http.Request, id string) (keyring.Grant, error) {
	q, err := readEnrollment(w, r)
	if err != nil {
		return keyring.Grant{}, err
	}
	return s.opt.Credentials.Rotate(id, q, s.issuer())
}

// issuer signs with the authority of now.
func (s *Server) issuer() keyring.Issuer {
	return keyring.IssuedBy(s.keys.Load().GatewayCA, s.opt.CertLife)
}

func readEnrollment(w http.ResponseWriter, r *http.Request) (q keyring.Enrollment, err error) {
	body := json.NewDecoder(http.MaxBytesReader(w, r.Body, keyring.MaxEnrollment))
	if err := body.Decode(&q); isTimeout(err) {
		return q, errSlowBody
	} else if err != nil {
		return q, fmt.Errorf("%w: not the JSON that is wanted", keyring.ErrRequest) // err may repeat the token
	}
	return q, nil
}

func answer(w http.ResponseWriter, g keyring.Grant) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(g) // a gateway that has gone asks again
}

// denyGrant tells what is wrong.
func (s *Server) denyGrant(w http.ResponseWriter, r *http.Request, from *address, err error) {
	if errors.Is(err, errSlowBody) {
		deny(w, http.StatusRequestTimeout, "too_slow", err.Error())
		return
	}
	if errors.Is(err, keyring.ErrRequest) {
		deny(w, http.StatusBadRequest, "request", err.Error())
		return
	}
	if errors.Is(err, keyring.ErrToken) && delay(from.wrong) == 0 {
		s.audit("enrolment_refused", "", "an enrolment was refused", "remote", r.RemoteAddr, "error", err)
		deny(w, http.StatusForbidden, "token", "the one-time token is unknown, used or expired: ask for another one")
		return
	}
	s.denyCredential(w, r.RemoteAddr, from, err)
}
