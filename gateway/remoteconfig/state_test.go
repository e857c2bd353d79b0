package remoteconfig_test

import (
	"context"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"unicode/utf8"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/remoteconfig"
)

// What is in force is told on site, and what was refused last, with the first
// of its errors, until a later one is in force.
func TestStateIsTold(t *testing.T) {
	onBoard(t, func(b *board) {
		is := func(ver uint64, refused gateway.ConfigState, by uint64) {
			t.Helper()
			synctest.Wait()
			s := b.k.State()
			if s.Ver != ver || s.OnTrial || (s.Refused != nil) != (by > 0) ||
				s.Refused != nil && (s.Refused.Ver != by || s.Refused.State != refused) {
				t.Errorf("state %+v %+v; want %d, and %d %s", s, s.Refused, ver, by, refused)
			}
		}
		is(0, "", 0)
		b.send(desire(1, "bad"))
		is(0, gateway.ConfigRejected, 1)
		b.send(desire(2, "good"))
		is(2, "", 0)
		b.send(desire(3, "unfit"))
		is(2, gateway.ConfigRolledBack, 3)
		b.send(desire(4, "good")) // what is in force, under a later number
		is(4, "", 0)
	})
}

// However long the list of problems is, a status does not grow by it.
func TestStateIsShort(t *testing.T) {
	for name, all := range map[string]problems{
		"many": {strings.Repeat("é", 400), strings.Repeat("é", 400), "three", "four"}, "long": {strings.Repeat("é", 4096)},
		"odd": {"x" + strings.Repeat("é", 4096)},
	} {
		synctest.Test(t, func(t *testing.T) {
			k := remoteconfig.Open(filepath.Join(t.TempDir(), "config.json"), quiet)
			k.Use(remoteconfig.Parts{Check: func(gateway.DesiredConfig) error { return all }, Tell: func(gateway.ConfigOutcome) {}})
			ctx, cancel := context.WithCancel(t.Context())
			var running sync.WaitGroup
			running.Go(func() { _ = k.Run(ctx) })
			k.Take(desire(1, "x"))
			synctest.Wait()
			some := k.State().Refused.Errors
			cancel()
			running.Wait()
			text := strings.Join(some, "|")
			if len(text) > 2<<10 || !utf8.ValidString(text) || !strings.HasPrefix(all[0], some[0]) ||
				len(all) > 1 && some[len(some)-1] != "and 3 more" {
				t.Errorf("%s: %d bytes: %q", name, len(text), text)
			}
		})
	}
}
