package live

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"strings"
	"time"

	"github.com/fieldgate/fieldgate/uplink/cloud/record"
)

const TicketTTL = 30 * time.Second

// Tickets let pages open a WebSocket, which cannot send a header: each once,
// within 30 s, on whichever server of the cloud.
type Tickets struct {
	KV record.KV
}

func ticketKey(ticket string) string {
	sum := sha256.Sum256([]byte(ticket))
	return "ticket." + hex.EncodeToString(sum[:])
}

func (t *Tickets) Issue(ctx context.Context) (string, error) {
	secret := make([]byte, 32)
	_, _ = rand.Read(secret)
	ticket := base64.RawURLEncoding.EncodeToString(secret)
	until := time.Now().Add(TicketTTL)
	body, err := until.MarshalText()
	if err == nil {
		_, err = t.KV.Put(ctx, ticketKey(ticket), body, 0, 2*TicketTTL)
	}
	return ticket, err
}

// Redeem uses a ticket up. It is false if it is none, old, or used.
func (t *Tickets) Redeem(ctx context.Context, ticket string) bool {
	key := ticketKey(ticket)
	doc, err := t.KV.Get(ctx, key)
	var until time.Time
	if err != nil || until.UnmarshalText(doc.Body) != nil || time.Now().After(until) {
		return false
	}
	// Of two who come with the same ticket, on whatever servers, one finds the
	// document unchanged.
	_, err = t.KV.Put(ctx, key, []byte("used"), doc.Rev, 2*TicketTTL)
	return err == nil
}

// TicketOf gives the ticket among the subprotocols of a request, "" for none.
func TicketOf(r *http.Request) string {
	for _, line := range r.Header.Values("Sec-WebSocket-Protocol") {
		for p := range strings.SplitSeq(line, ",") {
			if ticket, ok := strings.CutPrefix(strings.TrimSpace(p), TicketProtocol); ok {
				return ticket
			}
		}
	}
	return ""
}
