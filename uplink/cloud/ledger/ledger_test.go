package ledger

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/cloud/cloudtest"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
)

var errCrash = errors.New("crash")

func newLedger(h *cloudtest.History, kv record.KV) *Ledger {
	return &Ledger{Log: h, KV: kv, Logger: slog.New(slog.DiscardHandler), Pause: Pause, gateways: map[string]*Gateway{}}
}

// wantAccounts compares what is saved with what the history tells.
func wantAccounts(t interface {
	Helper()
	Fatalf(string, ...any)
}, h *cloudtest.History, kv record.KV) {
	t.Helper()
	for id, g := range h.Gateways {
		b := newGateway(id, h, kv)
		if err := errors.Join(b.load(context.Background()), b.loadAll(context.Background())); err != nil {
			t.Fatalf("%v", err)
		}
		if len(b.accounts) != len(g.Order) {
			t.Fatalf("%s: %d accounts, want %d", id, len(b.accounts), len(g.Order))
		}
		for i, a := range b.sorted() {
			if e := g.Order[i]; a.Epoch != e {
				t.Fatalf("%s: epoch %s is number %d, want %s", id, a.Epoch, i, e)
			}
			if wrong := differs(g.Epochs[a.Epoch], b, a); wrong != "" {
				t.Fatalf("%s: %s: %s", id, a, wrong)
			}
		}
	}
}

func differs(w *cloudtest.ToldEpoch, b *Gateway, a *account) string {
	spans, err := b.spans(context.Background(), a)
	if err != nil {
		return err.Error()
	}
	got := make([]gateway.Why, a.Upto)
	for _, s := range spans {
		for seq := s.First; seq <= s.last(); seq++ {
			if seq > a.Upto || got[seq-1] != "" {
				return fmt.Sprintf("span %+v lies above upto or over another", s)
			}
			got[seq-1] = s.Why
		}
	}
	var open *openGap
	if w.Open != nil {
		open = &openGap{record.OpenEnd{Why: w.Open.Why, AtMost: w.Open.AtMost, T0: w.Open.T0, T1: w.Open.T1, Anchor: *w.Open.Anchor},
			w.Open.Sum()}
	}
	held := uint64(0)
	for _, why := range w.What {
		if why == "" {
			held++
		}
	}
	switch {
	case !slices.Equal(got, w.What):
		return fmt.Sprintf("holds %q, want %q", got, w.What)
	case a.End != w.End && !(a.End == record.EndUnlisted && w.End == record.EndNone):
		return fmt.Sprintf("end %c, want %c", a.End, w.End)
	case (open == nil) != (a.Open == nil) || open != nil && *open != *a.Open:
		return fmt.Sprintf("open gap %+v, want %+v", a.Open, open)
	case a.Records != w.Records:
		return fmt.Sprintf("%d records, want %d", a.Records, w.Records)
	case a.held() != held:
		return fmt.Sprintf("%d readings, want %d", a.held(), held)
	}
	return ""
}

// A ledger that dies at any moment, with any document of a save written or
// not, says the same as one that read the whole log at once, and that is what
// happened.
func TestLedgerFollowsFromTheLog(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		h := cloudtest.NewHistory()
		kv := &cloudtest.KV{}
		steps := rapid.IntRange(1, 80).Draw(rt, "steps")
		for range steps {
			h.Step(rt)
		}
		l, passed := newLedger(h, kv), 0
		for passed < len(h.Entries) {
			batch := h.Entries[passed:min(len(h.Entries), passed+rapid.IntRange(1, 12).Draw(rt, "batch"))]
			left := rapid.IntRange(0, 12).Draw(rt, "puts before a crash")
			if left < 10 {
				kv.Fault = func() (bool, error) { left--; return left >= -1, map[bool]error{true: nil, false: errCrash}[left >= 0] }
			}
			touched := map[string]*Gateway{}
			err := l.enter(t.Context(), batch, touched)
			if err == nil {
				err = save(t.Context(), kv, slices.Collect(maps.Values(touched)))
			}
			kv.Fault = nil
			switch {
			case errors.Is(err, errCrash), rapid.IntRange(0, 5).Draw(rt, "crash before the feed knows") == 0:
				l = newLedger(h, kv)
			case err != nil:
				rt.Fatal(err)
			default:
				passed += len(batch)
			}
		}
		wantAccounts(rt, h, kv)
		fresh := &cloudtest.KV{}
		once := newLedger(h, fresh)
		touched := map[string]*Gateway{}
		if err := errors.Join(once.enter(t.Context(), h.Entries, touched),
			save(t.Context(), fresh, slices.Collect(maps.Values(touched)))); err != nil {
			rt.Fatal(err)
		}
		for key, d := range fresh.Docs {
			if got := kv.Docs[key]; string(got.Body) != string(d.Body) {
				rt.Fatalf("%s holds\n%s, at once it is\n%s", key, got.Body, d.Body)
			}
		}
	})
}

func TestLedgerWritesSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := cloudtest.NewHistory()
		kv := &cloudtest.KV{}
		e := gateway.NewEpochID()
		h.Open("g", true, e)
		for i := range uint64(100) {
			h.Send("g", h.Data(e, 5*i+1, 5))
		}
		l := newLedger(h, kv)
		began := time.Now()
		for _, entry := range h.Entries {
			if err := l.take(t.Context(), []record.Entry{entry}); err != nil {
				t.Fatal(err)
			}
		}
		wantAccounts(t, h, kv)
		if took := time.Since(began); took < 100*Pause || kv.Puts > 102*3 {
			t.Errorf("%d documents written in %s", kv.Puts, took)
		}
	})
}
