package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/fieldgate/fieldgate/cmd/cli"
	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/health"
	"github.com/fieldgate/fieldgate/store"
)

type bufferVerify struct {
	bufferDir
	JSON bool `help:"Print one JSON object."`
}

// Run reads everything and judges.
func (k bufferVerify) Run(ctx context.Context, c cli.Console) error {
	s, table, err := k.inspect()
	if err != nil {
		return err
	}
	defer s.Leave()
	f, err := examine(ctx, s, table)
	if err != nil {
		return err
	}
	if k.JSON {
		err = json.NewEncoder(c.Out).Encode(f)
	} else {
		tellFinding(c.Out, f)
	}
	if len(f.Damage) > 0 {
		err = errors.Join(err, errDamagedStore)
	}
	return errors.Join(err, f.unread())
}

// A finding is what a walk through the whole store brings to light.
type finding struct {
	Readings uint64            `json:"readings"`
	Thinned  uint64            `json:"thinned"` // readings of which summaries are left
	Cloud    uint64            `json:"cloud"`   // readings that the cloud acknowledged, and that are not here any more
	Gaps     map[string]uint64 `json:"gaps"`    // readings by reason
	OpenEnds int               `json:"open_ends"`
	Unread   uint64            `json:"unreadable"`       // readings, as far as is known, that are held but cannot be read now
	Held     []string          `json:"unreadable_files"` // in sentences
	Damage   []string          `json:"damage"`           // in sentences
}

// examine reads everything.
func examine(ctx context.Context, s *store.Store, table *health.Table) (finding, error) {
	f := finding{Gaps: map[string]uint64{}, Held: []string{}, Damage: []string{}}
	for _, e := range s.Epochs() {
		err := s.Walk(ctx, e.ID, func(b store.Stretch) error {
			f.Readings += uint64(len(b.Readings))
			if b.Unread != nil {
				f.Unread += b.N
			}
			if b.Thinned {
				f.Thinned += b.N
			}
			if b.Gap != nil {
				f.gap(b, e.Acked)
			}
			if b.End != nil && !b.End.Closed {
				f.OpenEnds++
			}
			return nil
		})
		if err != nil {
			return f, err
		}
	}
	for _, cond := range table.List() {
		switch cond.Code {
		case store.ConditionDamage:
			f.Damage = append(f.Damage, cond.Sentence)
		case store.ConditionUnreadable:
			f.Held = append(f.Held, cond.Sentence)
		}
	}
	return f, nil
}

var errUnreadStore = errors.New("not all of the store can be read now; nothing of that is lost or damaged, as far as is known")

// gap counts what stands in the place of readings: those that the cloud holds,
// and those that are missing.
func (f *finding) gap(b store.Stretch, acked uint64) {
	held := withTheCloud(b, acked)
	f.Cloud += held
	if b.N > held {
		f.Gaps[string(b.Gap.Why)] += b.N - held
	}
}

// withTheCloud is how many readings of a gap the cloud acknowledged and did not
// take back.
func withTheCloud(b store.Stretch, acked uint64) uint64 {
	if b.Gap.Why != gateway.WhyForgottenAfterAck || acked < b.First {
		return 0
	}
	return min(b.N, acked+1-b.First)
}

var errDamagedStore = errors.New("the store is damaged; `fieldgate buffer repair` saves what can be saved")

// unread is the error for what could not be read.
func (f *finding) unread() error {
	if len(f.Held) > 0 {
		return errUnreadStore
	}
	return nil
}

func tellFinding(out io.Writer, f finding) {
	fmt.Fprintf(out, "%d readings are whole\n", f.Readings)
	if f.Thinned > 0 {
		fmt.Fprintf(out, "of %d more only count, least, greatest and mean value per channel and interval are left: the store was nearly full\n",
			f.Thinned)
	}
	if f.Cloud > 0 {
		fmt.Fprintf(out, "%d more are with the cloud, which acknowledged them, and not here any more\n", f.Cloud)
	}
	for why, n := range f.Gaps {
		fmt.Fprintf(out, "%d readings are known to be missing: %s\n", n, why)
	}
	if f.OpenEnds > 0 {
		fmt.Fprintf(out, "%d epochs ended in a power cut or crash; what was lost there is told to the cloud\n", f.OpenEnds)
	}
	if f.Unread > 0 {
		fmt.Fprintf(out, "%d readings are held in files that cannot be read now\n", f.Unread)
	}
	for _, sentence := range append(f.Held, f.Damage...) {
		fmt.Fprintln(out, sentence)
	}
	if len(f.Damage) == 0 {
		fmt.Fprintln(out, "no damage was found")
	}
}
