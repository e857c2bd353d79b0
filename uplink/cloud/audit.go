package cloud

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/cloud/keyring"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
)

const (
	auditKept  = 10_000               // entries
	auditSlack = 500                  // more, before the oldest go
	auditAge   = 365 * 24 * time.Hour // then they go too
	auditQueue = 256                  // that wait for the KV
	auditFold  = time.Minute          // repeats of the same within it are one entry, with a count
	auditSame  = 1024                 // things that are told apart while folding
	auditShow  = 1000                 // entries of an answer, unless asked otherwise
)

// An AuditEntry is something that an operator must be able to find later:
// who was refused, enrolled, rotated, revoked, or taken for another, and what
// operators did.
type AuditEntry struct {
	At       time.Time         `json:"at"`
	Event    string            `json:"event"`
	Gateway  string            `json:"gateway_id,omitempty"`
	Sentence string            `json:"sentence"`
	Count    int               `json:"count,omitempty"` // how often it came since the last such entry, if folded
	Details  map[string]string `json:"details,omitempty"`
}

// An auditLog writes entries to the KV, in the order in which they come; none
// is waited for. An attacker cannot fill it: what repeats is folded, and the
// oldest go.
type auditLog struct {
	kv    record.KV
	notes keyring.Folder // what was noted beside the server; no dir: nothing is
	log   *slog.Logger
	queue chan AuditEntry

	mu   sync.Mutex
	same map[string]*folded
	lost int // for want of room in the queue

	serial  uint64 // owned by run
	written int    // since the last trim; owned by run
	failing bool   // to take notes over; owned by run
}

// A folded is something that was written lately, and how often it has come
// since.
type folded struct {
	until time.Time
	count int
	last  AuditEntry // of those
}

func newAuditLog(kv record.KV, log *slog.Logger) *auditLog {
	return &auditLog{kv: kv, log: log, queue: make(chan AuditEntry, auditQueue), same: map[string]*folded{}}
}

// audit notes what an operator must be able to find later, in the log and on
// the KV.
func (s *Server) audit(event, gatewayID, sentence string, attrs ...any) {
	if s.auditLog.add(entryFor(event, gatewayID, sentence, attrs)) {
		s.opt.Logger.Warn(sentence, append([]any{"audit", event, "gateway", gatewayID}, attrs...)...)
	}
}

// auditAct notes what an operator did. Nothing of it is folded: who has the
// operator's token need not be kept from filling the audit log.
func (s *Server) auditAct(event, sentence string, attrs ...any) {
	s.auditLog.mu.Lock()
	s.auditLog.queueLocked(entryFor(event, "", sentence, attrs))
	s.auditLog.mu.Unlock()
	s.opt.Logger.Info(sentence, append([]any{"audit", event}, attrs...)...)
}

func entryFor(event, gatewayID, sentence string, attrs []any) AuditEntry {
	e := AuditEntry{At: time.Now().UTC(), Event: event, Gateway: gatewayID, Sentence: sentence, Details: map[string]string{}}
	for i := 0; i+1 < len(attrs); i += 2 {
		e.Details[fmt.Sprint(attrs[i])] = fmt.Sprintf("%.200v", attrs[i+1])
	}
	return e
}

// add queues an entry unless it is folded into one before, and reports whether
// it is worth a line in the log.
func (t *auditLog) add(e AuditEntry) bool {
	key := e.Event + " " + e.Gateway + " " + addressOf(e.Details["remote"]).String()
	t.mu.Lock()
	defer t.mu.Unlock()
	if f := t.same[key]; f != nil && e.At.Before(f.until) {
		f.count, f.last = f.count+1, e
		return false
	} else if f != nil {
		e.Count = f.count
	}
	if len(t.same) >= auditSame {
		t.forgetLocked(e.At)
	}
	t.same[key] = &folded{until: e.At.Add(auditFold)}
	t.queueLocked(e)
	return true
}

// queueLocked has an entry written; without room it is lost, and counted.
func (t *auditLog) queueLocked(e AuditEntry) {
	if t.lost > 0 {
		e.Details["lost_before"] = strconv.Itoa(t.lost)
	}
	select {
	case t.queue <- e:
		t.lost = 0
	default:
		t.lost++
	}
}

// forgetLocked makes room: what is over goes, else anything.
func (t *auditLog) forgetLocked(at time.Time) {
	for key, f := range t.same {
		if at.After(f.until) || len(t.same) >= auditSame {
			delete(t.same, key)
		}
	}
}

// unfold has written what came again before now, and not since: how often it
// did is an entry too.
func (t *auditLog) unfold(now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for key, f := range t.same {
		if now.Before(f.until) {
			continue
		}
		delete(t.same, key)
		if f.count > 0 {
			f.last.Count = f.count
			t.queueLocked(f.last)
		}
	}
}

// run writes until ctx is done, and then what is queued.
func (t *auditLog) run(ctx context.Context) {
	look := time.NewTicker(notesEvery)
	defer look.Stop()
	t.importNotes(ctx)
	for {
		select {
		case e := <-t.queue:
			t.write(e)
		case now := <-look.C:
			t.unfold(now)
			t.importNotes(ctx)
		case <-ctx.Done():
			t.unfold(time.Now().Add(auditFold))
			for len(t.queue) > 0 {
				t.write(<-t.queue)
			}
			return
		}
	}
}

func (t *auditLog) write(e AuditEntry) {
	body, err := json.Marshal(e)
	if err != nil {
		return // text and numbers: cannot be
	}
	ctx, cancel := context.WithTimeout(context.Background(), keyring.Within)
	defer cancel()
	t.serial++
	key := auditKey(e.At, t.serial)
	if _, err := t.kv.Put(ctx, key, body, 0, auditAge); err != nil {
		t.log.Error("an entry of the audit log was not written", "error", err, "event", e.Event, "gateway", e.Gateway)
		return
	}
	t.wrote(ctx)
}

// auditKey makes a key by which entries are in the order of their times.
func auditKey(at time.Time, serial uint64) string {
	return fmt.Sprintf("audit.%016x-%08x-%s", at.UnixMicro(), serial, keyring.RandomHex()[:8])
}

func (t *auditLog) wrote(ctx context.Context) {
	if t.written--; t.written < 0 {
		t.written = auditSlack
		t.trim(ctx)
	}
}

// trim lets the oldest go.
func (t *auditLog) trim(ctx context.Context) {
	var keys []string
	for doc, err := range t.kv.List(ctx, "audit") {
		if err != nil {
			return // another time
		}
		keys = append(keys, doc.Key)
	}
	slices.Sort(keys)
	for _, key := range keys[:max(0, len(keys)-auditKept)] {
		if err := t.kv.Delete(ctx, key); err != nil {
			return
		}
	}
}

// serveAudit answers GET /v1/audit: one entry a line, the latest last. ?limit=
// says how many, ?gateway= and ?event= which.
func (s *Server) serveAudit(w http.ResponseWriter, r *http.Request) {
	limit := auditShow
	if text := r.URL.Query().Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > auditKept {
			deny(w, http.StatusBadRequest, "bad_query", fmt.Sprintf("limit is %.20q, must be 1 to %d", text, auditKept))
			return
		}
		limit = n
	}
	if err := s.auditQuery(r); err != nil {
		deny(w, http.StatusBadRequest, "bad_query", err.Error())
		return
	}
	var docs []record.Doc
	for doc, err := range s.auditLog.kv.List(r.Context(), "audit") {
		if err != nil {
			s.opt.Logger.Error("cannot read the audit log", "error", err)
			deny(w, http.StatusServiceUnavailable, "storage", "the audit log cannot be read at the moment")
			return
		}
		docs = append(docs, doc)
	}
	slices.SortFunc(docs, func(a, b record.Doc) int { return -compareKeys(a, b) })
	var found []AuditEntry
	for _, doc := range docs {
		var e AuditEntry
		if json.Unmarshal(doc.Body, &e) != nil || !asked(r, e) {
			continue
		}
		if found = append(found, e); len(found) == limit {
			break
		}
	}
	if id := r.URL.Query().Get("gateway"); len(found) == 0 && id != "" && !s.admitReader(w, r, id) {
		return // whom neither the audit log nor anything else knows
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	lines := json.NewEncoder(w)
	for _, e := range slices.Backward(found) {
		_ = lines.Encode(e) // a reader that has gone needs no more
	}
}

// auditEvents are the events that there are.
var auditEvents = []string{
	"auth_failed", "consumer_forgotten", "enrolled", "enrolment_refused", "gateway_added", "gateway_removed",
	"identity_conflict", "operator_refused", "revoked", "rotated", "rotation", "token_made",
}

// auditQuery says what is wrong with ?gateway= and ?event=.
func (s *Server) auditQuery(r *http.Request) error {
	id, event := r.URL.Query().Get("gateway"), r.URL.Query().Get("event")
	switch {
	case id != "" && !gateway.ValidID(id):
		return fmt.Errorf("gateway %.40q is no gateway_id: 1 to 64 of A-Z a-z 0-9 _ -", id)
	case event != "" && !slices.Contains(auditEvents, event):
		return fmt.Errorf("there is no event %.40q, only: %s", event, strings.Join(auditEvents, ", "))
	}
	return nil
}

func asked(r *http.Request, e AuditEntry) bool {
	id, event := r.URL.Query().Get("gateway"), r.URL.Query().Get("event")
	return (id == "" || id == e.Gateway) && (event == "" || event == e.Event)
}

func compareKeys(a, b record.Doc) int {
	switch {
	case a.Key < b.Key:
		return -1
	case a.Key > b.Key:
		return 1
	}
	return 0
}
