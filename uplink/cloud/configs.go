package cloud

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

const (
	capConfig    = "config" // in hello
	confirmMost  = 86400    // s
	desireWithin = 2 * time.Second
)

// A desiredDoc is what a gateway is to run by, under the key cfg.<gateway>.
type desiredDoc struct {
	Ver      uint64    `json:"ver"`  // counts up with every change
	Hash     string    `json:"hash"` // SHA-256 of Doc, in hex
	Doc      string    `json:"doc"`  // TOML
	ConfirmS int       `json:"confirm_s,omitempty"`
	At       time.Time `json:"at"`
}

// A reportedDoc is what became of it, under the key rep.<gateway>.
type reportedDoc struct {
	wire.Reported
	At time.Time `json:"at"` // when it was heard
}

// desired gives what a gateway is to run by; nil: nobody ever said.
func (c commandShelf) desired(ctx context.Context, gatewayID string) (*desiredDoc, uint64, error) {
	var d desiredDoc
	rev, err := c.read(ctx, "cfg."+gatewayID, &d)
	if errors.Is(err, record.ErrNoDoc) {
		return nil, 0, nil
	}
	return &d, rev, err
}

func (c commandShelf) reported(ctx context.Context, gatewayID string) (*reportedDoc, error) {
	var r reportedDoc
	_, err := c.read(ctx, "rep."+gatewayID, &r)
	if errors.Is(err, record.ErrNoDoc) {
		return nil, nil
	}
	return &r, err
}

func (c commandShelf) read(ctx context.Context, key string, into any) (rev uint64, err error) {
	doc, err := c.Get(ctx, key)
	if err == nil {
		err = json.Unmarshal(doc.Body, into)
	}
	return doc.Rev, err
}

// desire makes a document what a gateway is to run by. The same document is
// the same version, unless it is to be tried again.
func (c commandShelf) desire(ctx context.Context, gatewayID string, next desiredDoc, again bool) (desiredDoc, error) {
	for range revisionTries {
		before, rev, err := c.desired(ctx, gatewayID)
		if err != nil {
			return next, err
		}
		next.Ver = 1
		if before != nil {
			if before.Hash == next.Hash && before.ConfirmS == next.ConfirmS && !again {
				return *before, nil
			}
			next.Ver = before.Ver + 1
		}
		body, err := json.Marshal(next)
		if err != nil {
			return next, fmt.Errorf("encode configuration: %w", err)
		}
		if _, err = c.Put(ctx, "cfg."+gatewayID, body, rev, 0); !errors.Is(err, record.ErrRevision) {
			return next, err
		}
	}
	return next, fmt.Errorf("keep configuration: %w", record.ErrRevision)
}

// noteReport keeps what a gateway says became of a configuration; of an older
// version it says nothing new.
func (c commandShelf) noteReport(ctx context.Context, gatewayID string, r *wire.Reported) error {
	before, err := c.reported(ctx, gatewayID)
	if err != nil || before != nil && before.Ver > r.Ver {
		return err
	}
	body, err := json.Marshal(reportedDoc{*r, time.Now().UTC().Truncate(time.Millisecond)})
	if err != nil {
		return fmt.Errorf("encode report: %w", err)
	}
	_, err = c.Put(ctx, "rep."+gatewayID, body, record.AnyRev, 0)
	return err
}

// configState is what welcome says of the configuration; nil where the shelf
// does not tell in time: then a later session does.
func (c *dispatch) configState(x *session) *wire.ConfigState {
	if c == nil || !slices.Contains(x.hello.Caps, capConfig) {
		return nil
	}
	ctx, cancel := context.WithTimeout(x.ctx, desireWithin)
	defer cancel()
	d, _, err := c.shelf.desired(ctx, x.gatewayID)
	if err != nil || d == nil {
		return nil
	}
	return &wire.ConfigState{Ver: d.Ver, Hash: d.Hash}
}

// sendConfig sends a gateway what it is to run by, if that is another than it
// said in hello or reported since, and it has not refused this version.
func (c *dispatch) sendConfig(ctx context.Context, l *commandLine) {
	if !slices.Contains(l.hello.Caps, capConfig) {
		return
	}
	d, _, err := c.shelf.desired(ctx, l.gatewayID)
	var r *reportedDoc
	if err == nil && d != nil {
		r, err = c.shelf.reported(ctx, l.gatewayID)
	}
	switch {
	case err != nil && ctx.Err() == nil:
		l.log.Error("cannot read what this gateway is to run by; the next session will", "error", err)
		return
	case err != nil, d == nil, r != nil && r.Ver == d.Ver && r.Hash == d.Hash && r.State != string(gateway.ConfigApplied):
		return
	}
	if in := l.hello.Cfg; in != nil && in.Hash == d.Hash && r != nil && r.Ver == d.Ver {
		return
	}
	if err := l.send(&wire.Config{Ver: d.Ver, Hash: d.Hash, Doc: d.Doc, ConfirmS: d.ConfirmS}); err != nil && ctx.Err() == nil {
		l.log.Warn("cannot send the configuration", "error", err)
	}
}

// reported takes what a gateway says of a configuration.
func (c *dispatch) reported(x *session, r *wire.Reported) {
	ctx, cancel := context.WithTimeout(context.Background(), shelfWithin)
	defer cancel()
	x.remark(slog.LevelInfo, "configuration "+r.State, "version", r.Ver, "errors", len(r.Errors))
	if err := c.shelf.noteReport(ctx, x.gatewayID, r); err != nil {
		x.log.Warn("cannot keep what became of a configuration", "version", r.Ver, "error", err)
	}
}

// putConfig answers PUT /v1/gateways/{id}/config: the body is the document,
// ?confirm_s= how long it may take to prove itself, ?again=true has a version
// that was refused tried once more.
func (a *commandAPI) putConfig(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	if known, err := a.s.known(r, id); err != nil || !known {
		a.unknown(w, err, "no such gateway")
		return
	}
	doc, err := io.ReadAll(http.MaxBytesReader(w, r.Body, wire.MaxConfigDoc))
	if err != nil {
		denyBody(w, err, fmt.Sprintf("a configuration has at most %d bytes", wire.MaxConfigDoc))
		return
	}
	again, err := yes(r, "again")
	if err != nil {
		deny(w, http.StatusBadRequest, "bad_query", err.Error())
		return
	}
	confirm := 0
	if text := r.URL.Query().Get("confirm_s"); text != "" {
		if confirm, err = strconv.Atoi(text); err != nil || confirm < 1 || confirm > confirmMost {
			deny(w, http.StatusBadRequest, "bad_request", fmt.Sprintf("confirm_s is %.20q, must be 1 to %d", text, confirmMost))
			return
		}
	}
	if len(doc) == 0 || !utf8.Valid(doc) {
		deny(w, http.StatusBadRequest, "bad_request", "the body is not a TOML document in UTF-8")
		return
	}
	sum := sha256.Sum256(doc)
	d, err := a.shelf.desire(r.Context(), id, desiredDoc{
		Hash: hex.EncodeToString(sum[:]), Doc: string(doc), ConfirmS: confirm, At: time.Now().UTC().Truncate(time.Millisecond),
	}, again)
	if err != nil {
		a.unavailable(w, err)
		return
	}
	if data, err := json.Marshal(wake{Config: true}); err == nil {
		_ = a.bus.Tell(commandSubject(id), data) // a gateway that is away gets it when it comes
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(wire.ConfigState{Ver: d.Ver, Hash: d.Hash})
}

// getConfig answers GET /v1/gateways/{id}/config: what is desired and what
// was reported.
func (a *commandAPI) getConfig(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	if known, err := a.s.known(r, id); err != nil || !known {
		a.unknown(w, err, "no such gateway")
		return
	}
	d, _, err := a.shelf.desired(r.Context(), id)
	if err != nil {
		a.unavailable(w, err)
		return
	}
	rep, err := a.shelf.reported(r.Context(), id)
	if err != nil {
		a.unavailable(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"desired": d, "reported": rep})
}
