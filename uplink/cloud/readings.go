package cloud

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/store/block"
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
	s.serveLines(w, r, question{readings: true})
}

// serveEvents answers GET /v1/gateways/{id}/events.
func (s *Server) serveEvents(w http.ResponseWriter, r *http.Request) {
	s.serveLines(w, r, question{events: true})
}

func (s *Server) serveLines(w http.ResponseWriter, r *http.Request, q question) {
	id := r.PathValue("id")
	if !s.admitReader(w, r, id) {
		return
	}
	asCSV, err := formatOf(r)
	if err == nil {
		err = q.parse(r.URL.Query(), time.Now())
	}
	if err != nil {
		deny(w, http.StatusBadRequest, "bad_query", err.Error())
		return
	}
	p := printer{question: &q, blocks: decoders.Get().(*block.Decoder)}
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
	for rec, err := range p.book.records(r.Context(), stretches) {
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
func (p *printer) prepare(ctx context.Context, s *Server, id string) ([]stretch, error) {
	var err error
	if p.book, err = s.reading(ctx, id); err != nil {
		return nil, err
	}
	epochs, err := p.book.times(ctx)
	if err != nil {
		return nil, err
	}
	p.epochs = map[gateway.EpochID]*epochTime{}
	for i := range epochs {
		p.epochs[epochs[i].Epoch] = &epochs[i]
	}
	if p.readings && p.epoch != nil && p.epochs[*p.epoch] == nil {
		return nil, errUnknownEpoch
	}
	return p.book.plan(ctx, p.question, epochs)
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

// parse reads the question from a query. Events come among readings only if
// nothing is asked for that they do not have.
func (q *question) parse(v url.Values, now time.Time) (err error) {
	if q.span, err = parseRange(v, now); err != nil {
		if _, e := strconv.ParseUint(v.Get("from"), 10, 64); e == nil {
			err = fmt.Errorf("%w; for a seq use from_seq", err)
		}
		return err
	}
	if q.epoch, err = parseEpoch(v); err != nil {
		return err
	}
	for name, seq := range map[string]*uint64{"from_seq": &q.from, "to_seq": &q.to} {
		if text := v.Get(name); text != "" {
			if *seq, err = strconv.ParseUint(text, 10, 64); err != nil {
				return fmt.Errorf("%s %.40q is not a seq", name, text)
			}
		}
	}
	if q.to > 0 && q.from > q.to {
		return fmt.Errorf("from_seq %d lies behind to_seq %d", q.from, q.to)
	}
	for _, word := range slices.Concat(v["device"], v["quantity"]) {
		if !gateway.ValidID(word) {
			return fmt.Errorf("%.80q can be no device or quantity: 1 to 64 of A-Z a-z 0-9 _ -", word)
		}
	}
	q.devices, q.quantities = setOf(v["device"]), setOf(v["quantity"])
	if q.readings {
		q.events = q.epoch == nil && q.from == 0 && q.to == 0 && len(q.devices)+len(q.quantities) == 0
	}
	return nil
}

func setOf(list []string) map[string]bool {
	set := make(map[string]bool, len(list))
	for _, v := range list {
		set[v] = true
	}
	return set
}
