package cloud

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

const (
	commandBody = 32 << 10 // bytes of a request
	defaultTTL  = time.Minute
	waitMost    = 30 * time.Second
	leaseMost   = math.MaxInt64 / 1_000_000 // ms; as many as a gateway can count
)

// serveCommands adds the operator's API for commands and configurations, where
// there is a shelf to keep them and a bus to bring them.
func (s *Server) serveCommands() {
	if s.opt.KV == nil || s.opt.PubSub == nil {
		return
	}
	c := newDispatch(s.opt)
	c.shelf.moved = s.figures.commandMoved
	s.dispatch = c
	s.parts = append(s.parts, c.part())
	s.useDrift()
	api := &commandAPI{c, s}
	s.mux.HandleFunc("PUT /v1/gateways/{id}/config", s.operator(api.putConfig, "confirm_s", "again"))
	s.mux.HandleFunc("GET /v1/gateways/{id}/config", s.operator(api.getConfig))
	s.mux.HandleFunc("POST /v1/gateways/{id}/commands", s.operator(api.post, "wait"))
	s.mux.HandleFunc("GET /v1/gateways/{id}/commands", s.operator(api.list, "all"))
	s.mux.HandleFunc("GET /v1/gateways/{id}/commands/{cid}", s.operator(api.get, "wait"))
}

type commandAPI struct {
	*dispatch
	s *Server
}

// A commandRequest is the body of POST /v1/gateways/{id}/commands. The same
// body under the same id may be posted again and again: it is one command.
type commandRequest struct {
	ID      string          `json:"id"` // "": one is drawn
	Device  string          `json:"device_id"`
	Action  string          `json:"action"`
	Value   *float64        `json:"value"`
	Args    json.RawMessage `json:"args"`
	TTLMS   *int64          `json:"ttl_ms"` // from now; nil: a minute
	Once    bool            `json:"once"`
	LeaseMS int64           `json:"lease_ms"`
	Queue   *bool           `json:"queue"` // wait for a gateway that is not connected; nil: yes
}

// parseCommand reads a request. Keys that it does not know are an error: a
// command that is not what its sender meant must not act.
func parseCommand(body []byte, gatewayID string, now time.Time) (commandDoc, error) {
	var q commandRequest
	if err := decodeStrict(body, &q); err != nil {
		return commandDoc{}, fmt.Errorf("the body is not a command: %w", err)
	}
	ttl := defaultTTL
	if q.TTLMS != nil {
		if *q.TTLMS < 1 || *q.TTLMS > wire.MaxCommandTTL.Milliseconds() {
			return commandDoc{}, fmt.Errorf("ttl_ms is %d, must be 1 to %d (7 days)", *q.TTLMS, wire.MaxCommandTTL.Milliseconds())
		}
		ttl = time.Duration(*q.TTLMS) * time.Millisecond
	}
	if q.ID == "" {
		q.ID = rand.Text()
	}
	if string(q.Args) == "null" {
		q.Args = nil
	}
	for what, name := range map[string]string{"id": q.ID, "device_id": q.Device, "action": q.Action} {
		if !gateway.ValidID(name) {
			return commandDoc{}, fmt.Errorf("%s is %.40q, must be 1 to 64 of A-Z a-z 0-9 _ -", what, name)
		}
	}
	switch {
	case q.LeaseMS < 0, q.LeaseMS > leaseMost:
		return commandDoc{}, fmt.Errorf("lease_ms is %d, must be 0 to %d", q.LeaseMS, leaseMost)
	}
	// What no gateway can read must not wait, and be refused in every session.
	if err := wire.ValidBody(q.Args); err != nil {
		return commandDoc{}, fmt.Errorf("args: %w", err)
	}
	now = now.UTC().Truncate(time.Millisecond)
	return commandDoc{
		ID: q.ID, Gateway: gatewayID, Device: q.Device, Action: q.Action, Value: q.Value, Args: q.Args, Once: q.Once,
		LeaseMS: q.LeaseMS, Queue: q.Queue == nil || *q.Queue, State: commandQueued, Created: now, Expires: now.Add(ttl),
	}, nil
}

// same tells whether two documents are of the same request.
func (d commandDoc) same(o commandDoc) bool {
	ask := func(d commandDoc) string {
		text, _ := json.Marshal([]any{d.Device, d.Action, d.Value, d.Args, d.Once, d.LeaseMS, d.Expires.Sub(d.Created)}) // they came as JSON
		return string(text)
	}
	return ask(d) == ask(o)
}

// post answers POST /v1/gateways/{id}/commands: 200 if the outcome is known,
// 202 if it is not yet, 409 if the gateway is not connected and the command
// may not wait, or if the id is that of another command.
func (a *commandAPI) post(w http.ResponseWriter, r *http.Request) {
	wait, err := waitOf(r)
	if err != nil {
		deny(w, http.StatusBadRequest, "bad_request", err.Error())
		return
	}
	id := r.PathValue("id")
	if known, err := a.s.known(r, id); err != nil || !known {
		a.unknown(w, err, "no such gateway")
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, commandBody))
	if err != nil {
		denyBody(w, err, fmt.Sprintf("a command has at most %d bytes", commandBody))
		return
	}
	d, err := parseCommand(body, id, time.Now())
	if err != nil {
		deny(w, http.StatusBadRequest, "bad_request", err.Error())
		return
	}
	cid := d.ID
	d, err = a.place(r.Context(), d)
	var refused *refusal
	switch {
	case errors.As(err, &refused):
		deny(w, refused.status, refused.code, refused.message)
		return
	case err != nil: // it may be on its way all the same: under another id it would act twice
		a.log.Error("cannot keep a command", "id", cid, "error", err)
		deny(w, http.StatusServiceUnavailable, "storage", fmt.Sprintf("commands cannot be kept at the moment; post it again with the id %s, so that it acts once", cid))
		return
	}
	a.answer(w, r, a.await(r.Context(), d, wait))
}

// A refusal is an answer that is an error.
type refusal struct {
	status        int
	code, message string
}

func (r *refusal) Error() string { return r.message }

// place keeps a command and brings it on its way.
func (a *commandAPI) place(ctx context.Context, d commandDoc) (commandDoc, error) {
	pending, err := a.shelf.list(ctx, d.Gateway, true)
	if err != nil {
		return d, err
	}
	pending = slices.DeleteFunc(pending, func(p commandDoc) bool {
		p = p.shown(time.Now())
		return p.final() || p.ID == d.ID
	})
	if len(pending) >= commandsPending {
		return d, &refusal{http.StatusTooManyRequests, "too_many", fmt.Sprintf("%d commands of this gateway wait already", len(pending))}
	}
	if d.Seq, err = a.shelf.seq(ctx, d.Gateway); err != nil {
		return d, err
	}
	err = a.shelf.put(ctx, d, 0)
	if errors.Is(err, record.ErrRevision) {
		before, _, err := a.shelf.get(ctx, d.Gateway, d.ID)
		switch {
		case err != nil:
			return d, err
		case !before.same(d):
			return d, &refusal{http.StatusConflict, "id_taken", "another command has this id"}
		}
		d = before
	} else if err != nil {
		return d, err
	} else {
		a.shelf.tellMoved(d)
	}
	return a.route(ctx, d)
}

// route wakes the server that holds the gateway's session.
func (a *commandAPI) route(ctx context.Context, d commandDoc) (commandDoc, error) {
	if d.State != commandQueued {
		return d, nil
	}
	data, err := json.Marshal(wake{ID: d.ID})
	if err != nil {
		return d, fmt.Errorf("encode wake: %w", err)
	}
	asking, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	_, asked := a.bus.Ask(asking, commandSubject(d.Gateway), data)
	if asked != nil && !d.Queue {
		d, err = a.shelf.change(ctx, d.Gateway, d.ID, func(d *commandDoc) bool {
			withdrawn := d.State == commandQueued
			if withdrawn {
				d.State, d.Error = gateway.CommandExpired, "the gateway is not connected"
			}
			return withdrawn
		})
		if err != nil || d.State != gateway.CommandExpired || d.Sent > 0 {
			return d, err
		}
		if err := a.shelf.Delete(ctx, commandKey(d.Gateway, d.ID)); err != nil {
			a.log.Warn("cannot delete a command that was withdrawn; it goes by itself", "id", d.ID, "error", err)
		}
		return d, &refusal{http.StatusConflict, "not_connected", "the gateway is not connected, and the command may not wait"}
	}
	now, _, err := a.shelf.get(ctx, d.Gateway, d.ID)
	return now, err
}

// await watches a command until it is final, at most so long. What it cannot
// learn it leaves as it was.
func (a *commandAPI) await(ctx context.Context, d commandDoc, wait time.Duration) commandDoc {
	if d.State == commandQueued { // nobody notes that it has expired there
		wait = min(wait, time.Until(d.Expires)+time.Millisecond)
	}
	if d.final() || wait <= 0 {
		return d
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	_ = a.shelf.Watch(ctx, commandKey(d.Gateway, d.ID), func(doc record.Doc) {
		var now commandDoc
		if doc.Body != nil && json.Unmarshal(doc.Body, &now) == nil {
			d = now
		}
		if doc.Body == nil || d.final() {
			cancel()
		}
	})
	return d
}

// get answers GET /v1/gateways/{id}/commands/{cid}.
func (a *commandAPI) get(w http.ResponseWriter, r *http.Request) {
	wait, err := waitOf(r)
	if err != nil {
		deny(w, http.StatusBadRequest, "bad_request", err.Error())
		return
	}
	id, cid := r.PathValue("id"), r.PathValue("cid")
	if !gateway.ValidID(id) || !gateway.ValidID(cid) {
		a.unknown(w, nil, "no such command")
		return
	}
	d, _, err := a.shelf.get(r.Context(), id, cid)
	if err != nil {
		a.unknown(w, err, "no such command, or it is long over")
		return
	}
	a.answer(w, r, a.await(r.Context(), d, wait))
}

// list answers GET /v1/gateways/{id}/commands: those that are not final, or
// with ?all=true whatever is still known.
func (a *commandAPI) list(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	if known, err := a.s.known(r, id); err != nil || !known {
		a.unknown(w, err, "no such gateway")
		return
	}
	final, err := yes(r, "all")
	if err != nil {
		deny(w, http.StatusBadRequest, "bad_query", err.Error())
		return
	}
	all, err := a.shelf.list(r.Context(), id, false)
	if err != nil {
		a.unavailable(w, err)
		return
	}
	shown := []commandDoc{}
	for _, d := range all {
		if d = d.shown(time.Now()); final || !d.final() {
			shown = append(shown, d)
		}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"commands": shown})
}

// answer shows a command.
func (a *commandAPI) answer(w http.ResponseWriter, r *http.Request, d commandDoc) {
	d = d.shown(time.Now())
	status := http.StatusOK
	if r.Method == http.MethodPost && !d.final() {
		status = http.StatusAccepted
		w.Header().Set("Location", "/v1/gateways/"+d.Gateway+"/commands/"+d.ID)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(d)
}

func (a *commandAPI) unknown(w http.ResponseWriter, err error, message string) {
	if err != nil && !errors.Is(err, record.ErrNoDoc) {
		a.unavailable(w, err)
		return
	}
	deny(w, http.StatusNotFound, "not_found", message)
}

func (a *commandAPI) unavailable(w http.ResponseWriter, err error) {
	a.log.Error("cannot read or keep commands or configurations", "error", err)
	deny(w, http.StatusServiceUnavailable, "storage", "commands and configurations cannot be read or kept at the moment; ask again later")
}

// waitOf reads ?wait=, such as 10s.
func waitOf(r *http.Request) (time.Duration, error) {
	text := r.URL.Query().Get("wait")
	if text == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 || d > waitMost {
		return 0, fmt.Errorf("wait is %.20q, must be 0s to %v", text, waitMost)
	}
	return d, nil
}
