package cloud

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/fieldgate/fieldgate/uplink/cloud/record"
)

const ticketTTL = 30 * time.Second

// tickets let pages open a WebSocket, which cannot send a header: each once,
// within 30 s, on whichever server of the cloud.
type tickets struct {
	kv record.KV
}

func ticketKey(ticket string) string {
	sum := sha256.Sum256([]byte(ticket))
	return "ticket." + hex.EncodeToString(sum[:])
}

func (t *tickets) issue(ctx context.Context) (string, error) {
	secret := make([]byte, 32)
	_, _ = rand.Read(secret)
	ticket := base64.RawURLEncoding.EncodeToString(secret)
	until := time.Now().Add(ticketTTL)
	body, err := until.MarshalText()
	if err == nil {
		_, err = t.kv.Put(ctx, ticketKey(ticket), body, 0, 2*ticketTTL)
	}
	return ticket, err
}

// redeem uses a ticket up. It is false if it is none, old, or used.
func (t *tickets) redeem(ctx context.Context, ticket string) bool {
	key := ticketKey(ticket)
	doc, err := t.kv.Get(ctx, key)
	var until time.Time
	if err != nil || until.UnmarshalText(doc.Body) != nil || time.Now().After(until) {
		return false
	}
	// Of two who come with the same ticket, on whatever servers, one finds the
	// document unchanged.
	_, err = t.kv.Put(ctx, key, []byte("used"), doc.Rev, 2*ticketTTL)
	return err == nil
}

// serveTicket answers POST /v1/ws-ticket.
func (s *Server) serveTicket(w http.ResponseWriter, r *http.Request) {
	ticket, err := s.tickets.issue(r.Context())
	if err != nil {
		s.opt.Logger.Error("cannot issue a ticket", "error", err)
		deny(w, http.StatusServiceUnavailable, "storage", "no ticket can be issued at the moment")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(map[string]any{
		"ticket": ticket, "subprotocols": []string{dashProtocol, ticketProtocol + ticket}, "expires_s": int(ticketTTL.Seconds()),
	})
}

// mayListen takes the operator's token, or a ticket offered as a subprotocol.
func (s *Server) mayListen(r *http.Request) bool {
	ticket := ticketOf(r)
	return s.isOperator(r) || ticket != "" && s.tickets.redeem(r.Context(), ticket)
}

// ticketOf gives the ticket among the subprotocols of a request, "" for none.
func ticketOf(r *http.Request) string {
	for _, line := range r.Header.Values("Sec-WebSocket-Protocol") {
		for p := range strings.SplitSeq(line, ",") {
			if ticket, ok := strings.CutPrefix(strings.TrimSpace(p), ticketProtocol); ok {
				return ticket
			}
		}
	}
	return ""
}
