package cloud

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// useIdentity answers enrolment, rotation and questions about both.
func (s *Server) useIdentity() {
	s.mux.HandleFunc("POST /v1/enroll", s.serveEnroll)
	s.mux.HandleFunc("POST /v1/credentials/rotate", s.serveRotate)
	s.mux.HandleFunc("GET /v1/audit", s.operator(s.serveAudit, "limit", "gateway", "event"))
	s.parts = append(s.parts, part{run: s.sweepTokens}, part{run: s.trail.run})
}

func (s *Server) sweepTokens(ctx context.Context) {
	tick := time.NewTicker(onceSweep)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			s.opt.Credentials.sweep()
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
	var g grant
	if err == nil {
		g, err = s.opt.Credentials.redeem(q, s.issue)
	}
	if err != nil {
		s.denyGrant(w, r, from, err)
		return
	}
	s.audit("enrolled", g.GatewayID, "a gateway was enrolled with a one-time token", "remote", r.RemoteAddr, "certificate", g.Certificate != "")
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
	var g grant
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

func (s *Server) rotate(w http.ResponseWriter, r *http.Request, id string) (grant, error) {
	q, err := readEnrollment(w, r)
	if err != nil {
		return grant{}, err
	}
	csr, hash, err := q.request()
	if err != nil {
		return grant{}, err
	}
	o := once{GatewayID: id, Used: &use{CSR: hash, Salt: randomHex()}}
	if csr != nil {
		cert, err := s.issue(id, csr)
		if err != nil {
			return grant{}, err
		}
		o.Used.Certificate = string(cert)
	}
	var secret [16]byte
	_, _ = rand.Read(secret[:]) // ends the process rather than fail
	return s.opt.Credentials.grant(o, secret[:])
}

func readEnrollment(w http.ResponseWriter, r *http.Request) (q enrollment, err error) {
	body := json.NewDecoder(http.MaxBytesReader(w, r.Body, enrollMost))
	if err := body.Decode(&q); isTimeout(err) {
		return q, errSlowBody
	} else if err != nil {
		return q, fmt.Errorf("%w: not the JSON that is wanted", errRequest) // err may repeat the token
	}
	return q, nil
}

func answer(w http.ResponseWriter, g grant) {
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
	if errors.Is(err, errRequest) {
		deny(w, http.StatusBadRequest, "request", err.Error())
		return
	}
	if errors.Is(err, errOnce) && delay(from.wrong) == 0 {
		s.audit("enrolment_refused", "", "an enrolment was refused", "remote", r.RemoteAddr, "error", err)
		deny(w, http.StatusForbidden, "token", "the one-time token is unknown, used or expired: ask for another one")
		return
	}
	s.denyCredential(w, r.RemoteAddr, from, err)
}
