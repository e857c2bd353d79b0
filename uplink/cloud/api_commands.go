package cloud

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/cloud/command"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// maxWait is how long a question for a command may wait for its outcome.
const maxWait = 30 * time.Second

type commandAPI struct {
	*command.Dispatcher
	s *Server
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
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, command.MaxBody))
	if err != nil {
		denyBody(w, err, fmt.Sprintf("a command has at most %d bytes", command.MaxBody))
		return
	}
	d, err := command.Parse(body, id, time.Now())
	if err != nil {
		deny(w, http.StatusBadRequest, "bad_request", err.Error())
		return
	}
	cid := d.ID
	d, err = a.Submit(r.Context(), d)
	var refused *command.Refusal
	switch {
	case errors.As(err, &refused):
		deny(w, refused.Status, refused.Code, refused.Message)
		return
	case err != nil: // it may be on its way all the same: under another id it would act twice
		a.s.opt.Logger.Error("cannot keep a command", "id", cid, "error", err)
		deny(w, http.StatusServiceUnavailable, "storage",
			fmt.Sprintf("commands cannot be kept at the moment; post it again with the id %s, so that it acts once", cid))
		return
	}
	a.answer(w, r, a.Await(r.Context(), d, wait))
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
	d, _, err := a.Store.Command(r.Context(), id, cid)
	if err != nil {
		a.unknown(w, err, "no such command, or it is long over")
		return
	}
	a.answer(w, r, a.Await(r.Context(), d, wait))
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
	all, err := a.Store.Commands(r.Context(), id, false)
	if err != nil {
		a.unavailable(w, err)
		return
	}
	shown := []command.Command{}
	for _, d := range all {
		if d = d.Shown(time.Now()); final || !d.Final() {
			shown = append(shown, d)
		}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"commands": shown})
}

// answer shows a command.
func (a *commandAPI) answer(w http.ResponseWriter, r *http.Request, d command.Command) {
	d = d.Shown(time.Now())
	status := http.StatusOK
	if r.Method == http.MethodPost && !d.Final() {
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
	a.s.opt.Logger.Error("cannot read or keep commands or configurations", "error", err)
	deny(w, http.StatusServiceUnavailable, "storage", "commands and configurations cannot be read or kept at the moment; ask again later")
}

// waitOf reads ?wait=, such as 10s.
func waitOf(r *http.Request) (time.Duration, error) {
	text := r.URL.Query().Get("wait")
	if text == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 || d > maxWait {
		return 0, fmt.Errorf("wait is %.20q, must be 0s to %v", text, maxWait)
	}
	return d, nil
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
		if confirm, err = strconv.Atoi(text); err != nil || confirm < 1 || confirm > command.MaxConfirm {
			deny(w, http.StatusBadRequest, "bad_request", fmt.Sprintf("confirm_s is %.20q, must be 1 to %d", text, command.MaxConfirm))
			return
		}
	}
	if len(doc) == 0 || !utf8.Valid(doc) {
		deny(w, http.StatusBadRequest, "bad_request", "the body is not a TOML document in UTF-8")
		return
	}
	sum := sha256.Sum256(doc)
	d, err := a.Configure(r.Context(), id, command.Desired{
		Hash: hex.EncodeToString(sum[:]), Doc: string(doc), ConfirmS: confirm, At: time.Now().UTC().Truncate(time.Millisecond),
	}, again)
	if err != nil {
		a.unavailable(w, err)
		return
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
	d, _, err := a.Store.Desired(r.Context(), id)
	if err != nil {
		a.unavailable(w, err)
		return
	}
	rep, err := a.Store.Reported(r.Context(), id)
	if err != nil {
		a.unavailable(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"desired": d, "reported": rep})
}
