package cloud

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gorilla/websocket"

	"github.com/fieldgate/fieldgate/uplink/cloud/keyring"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
	"github.com/fieldgate/fieldgate/uplink/rfc6455"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// serveGateway answers GET /v1/gateway: everything that can be refused is
// refused before the upgrade.
func (s *Server) serveGateway(w http.ResponseWriter, r *http.Request) {
	from := s.gate.of(r.RemoteAddr)
	if !s.admitAddress(w, from) {
		return
	}
	log := s.opt.Logger.With("remote", r.RemoteAddr)
	who, err := s.identify(r, 0)
	if err != nil {
		s.denyCredential(w, r.RemoteAddr, from, err)
		return
	}
	id := strings.Clone(who.id) // not to keep all headers, of whose text it is a part
	log = log.With("gateway", id)
	if !s.admitGateway(w, id) {
		return
	}
	// gw is for load balancers, which cannot read credentials.
	if gw := r.URL.Query().Get("gw"); gw != "" && gw != id {
		s.refuse(w, http.StatusForbidden, "forbidden", "gw is not the gateway of the credential")
		return
	}
	if no := rfc6455.Refused(w, r); no != nil {
		s.refuse(w, no.Status, handshakeCode(no), no.Why)
		return
	}
	if !slices.ContainsFunc(websocket.Subprotocols(r), func(p string) bool { return wire.CodecOf(p) != nil }) {
		s.refuse(w, http.StatusBadRequest, "subprotocol", "supported subprotocols: "+strings.Join(subprotocols, ", "))
		return
	}
	if err := s.begin(id); err != nil {
		retryAfter(w, comeBackAfter)
		s.refuse(w, http.StatusServiceUnavailable, "unavailable", err.Error())
		return
	}
	conn, err := s.upgrade.Upgrade(rfc6455.Server(w, false), r, nil)
	if err != nil {
		s.end()
		s.metrics.count("upgrades_total", "result", "failed")
		log.Info("no upgrade to WebSocket", "error", err) // gorilla has answered
		return
	}
	s.metrics.count("upgrades_total", "result", "ok")
	x := &session{server: s, gatewayID: id, id: rand.Text(), secret: who.hash, conn: conn, codec: wire.CodecOf(conn.Subprotocol()),
		remote: r.RemoteAddr, log: log, since: time.Now()}
	x.ctx, x.stop = context.WithCancelCause(s.ctx)
	// Not on this goroutine: net/http's own buffers and the request would live
	// as long as the session. Close waits for it.
	go x.run()
}

// handshakeCode is the code of a request that is no handshake, or a wrong one.
func handshakeCode(no *rfc6455.Refusal) string {
	if no.Status == http.StatusUpgradeRequired {
		return "upgrade_required"
	}
	return "bad_handshake"
}

// denyUpgrade answers where the upgrader would in a form of its own.
func denyUpgrade(w http.ResponseWriter, _ *http.Request, status int, reason error) {
	deny(w, status, "bad_handshake", reason.Error())
}

// refuse denies an upgrade, and counts it.
func (s *Server) refuse(w http.ResponseWriter, status int, code, message string) {
	s.metrics.count("upgrades_total", "result", code)
	deny(w, status, code, message)
}

// denyCredential tells apart what the gateway got wrong and what the server
// cannot do.
func (s *Server) denyCredential(w http.ResponseWriter, remote string, from *address, err error) {
	if errors.Is(err, record.ErrUnavailable) { // told once, however many gateways knock meanwhile
		s.storage.fails(err)
		s.metrics.count("auth_failures_total", "reason", "internal")
		retryAfter(w, comeBackAfter)
		s.refuse(w, http.StatusServiceUnavailable, "unavailable", "the credential cannot be checked at the moment")
		return
	}
	if !errors.Is(err, keyring.ErrCredential) {
		s.opt.Logger.Error("cannot check a credential", "error", err, "remote", remote)
		s.metrics.count("auth_failures_total", "reason", "internal")
		s.refuse(w, http.StatusInternalServerError, "internal", "the credential cannot be checked at the moment")
		return
	}
	s.metrics.count("auth_failures_total", "reason", "credential")
	// Wrong credentials are not worth more than a line each, and of one address
	// only few; a right one beside them is served all the same.
	if wait := delay(from.wrong); wait > 0 {
		s.tooMany(w, wait, "too many wrong credentials from this address")
		return
	}
	s.audit("auth_failed", "", "a gateway was refused: its credential is not valid", "remote", remote, "error", err)
	w.Header().Set("WWW-Authenticate", `Bearer realm="fieldgate"`)
	s.refuse(w, http.StatusUnauthorized, "unauthorised", "the credential is not valid")
}
