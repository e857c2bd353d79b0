package cloud

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/store/block"
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
	p := printer{Question: &q, blocks: decoders.Get().(*block.Decoder)}
	defer decoders.Put(p.blocks)
	stretches, err := p.prepare(r.Context(), s, id)
	if err != nil {
		s.denyLedger(w, id, err)
		return
	}
	w = patientWriter{w, http.NewResponseController(w)}
	if asCSV {
		w.Header().Set("Content-Type", "text/csv; charset=utf-8; header=present")
		p.out = newCSV(w, id)
	} else {
		w.Header().Set("Content-Type", "application/x-ndjson")
		p.out = newNDJSON(w, id)
	}
	for rec, err := range p.book.Records(r.Context(), stretches) {
		if err == nil {
			err = p.print(r.Context(), rec)
		}
		if err != nil {
			s.opt.Logger.Warn("stream of readings broken off", "gateway", id, "error", err)
			panic(http.ErrAbortHandler)
		}
	}
	if p.out.flush() != nil {
		panic(http.ErrAbortHandler)
	}
}

// prepare opens the gateway's book and gives where in the log the answer lies.
func (p *printer) prepare(ctx context.Context, s *Server, id string) ([]ledger.Stretch, error) {
	var err error
	if p.book, err = ledger.Open(ctx, s.opt.Log, s.opt.KV, id); err != nil {
		return nil, err
	}
	epochs, err := p.book.Times(ctx)
	if err != nil {
		return nil, err
	}
	p.epochs = map[gateway.EpochID]*ledger.EpochTime{}
	for i := range epochs {
		p.epochs[epochs[i].Epoch] = &epochs[i]
	}
	if p.Readings && p.Epoch != nil && p.epochs[*p.Epoch] == nil {
		return nil, ledger.ErrUnknownEpoch
	}
	return p.book.Plan(ctx, p.Question, epochs)
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
