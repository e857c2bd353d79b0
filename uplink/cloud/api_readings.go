package cloud

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/fieldgate/fieldgate/gateway/lines"
	"github.com/fieldgate/fieldgate/store/block"
	"github.com/fieldgate/fieldgate/uplink/cloud/export"
	"github.com/fieldgate/fieldgate/uplink/cloud/ledger"
)

// readingsWithin is how long a client may take for one write, some KiB of
// lines: a record of the log may be tens of MB of them.
const readingsWithin = 30 * time.Second

// A patientWriter gives each write its time.
type patientWriter struct {
	http.ResponseWriter
	time *http.ResponseController
}

func (w patientWriter) Write(b []byte) (int, error) {
	_ = w.time.SetWriteDeadline(time.Now().Add(readingsWithin))
	return w.ResponseWriter.Write(b)
}

// serveReadings answers GET /v1/gateways/{id}/readings with one line for every
// reading and for everything that stands in the place of readings, in the
// order of the log. A stream that breaks off is not ended properly, so that it
// never looks complete.
func (s *Server) serveReadings(w http.ResponseWriter, r *http.Request) {
	s.serveLines(w, r, ledger.Question{Readings: true})
}

// serveEvents answers GET /v1/gateways/{id}/events.
func (s *Server) serveEvents(w http.ResponseWriter, r *http.Request) {
	s.serveLines(w, r, ledger.Question{Events: true})
}

func (s *Server) serveLines(w http.ResponseWriter, r *http.Request, q ledger.Question) {
	id := r.PathValue("id")
	if !s.admitReader(w, r, id) {
		return
	}
	asCSV, err := formatOf(r)
	if err == nil {
		err = q.Parse(r.URL.Query(), time.Now())
	}
	if err != nil {
		deny(w, http.StatusBadRequest, "bad_query", err.Error())
		return
	}
	blocks := decoders.Get().(*block.Decoder)
	defer decoders.Put(blocks)
	p, err := export.Open(r.Context(), s.opt.Log, s.opt.KV, id, &q, blocks)
	if err != nil {
		s.denyLedger(w, id, err)
		return
	}
	w = patientWriter{w, http.NewResponseController(w)}
	var out lines.Writer
	if asCSV {
		w.Header().Set("Content-Type", "text/csv; charset=utf-8; header=present")
		out = lines.NewCSV(w, id)
	} else {
		w.Header().Set("Content-Type", "application/x-ndjson")
		out = lines.NewNDJSON(w, id)
	}
	if err := p.WriteLines(r.Context(), out); err != nil {
		s.opt.Logger.Warn("stream of readings broken off", "gateway", id, "error", err)
		panic(http.ErrAbortHandler)
	}
	if out.Flush() != nil {
		panic(http.ErrAbortHandler)
	}
}

// formatOf tells from ?format= or Accept whether CSV is wanted.
func formatOf(r *http.Request) (asCSV bool, err error) {
	switch f := r.URL.Query().Get("format"); f {
	case "csv":
		return true, nil
	case "ndjson":
		return false, nil
	case "":
		return strings.Contains(r.Header.Get("Accept"), "text/csv"), nil
	default:
		return false, fmt.Errorf("format %.40q is neither ndjson nor csv", f)
	}
}
