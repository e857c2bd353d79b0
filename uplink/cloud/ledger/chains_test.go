package ledger

import (
	"strings"
	"testing"

	"github.com/fieldgate/fieldgate/uplink/cloud/cloudtest"
)

func TestLedgerLeavesOutVoidRecords(t *testing.T) {
	for _, c := range cloudtest.ChainCases {
		t.Run(c.Name, func(t *testing.T) {
			l := &cloudtest.Log{Records: c.Records()}
			b := newGateway("g", l, nil)
			var got []string
			for _, r := range l.Records {
				if err := b.enter(t.Context(), r); err != nil {
					t.Fatal(err)
				}
				if b.checkpoint.Last == r.Place() {
					got = append(got, r.ID)
				}
			}
			if strings.Join(got, " ") != c.Valid || len(b.checkpoint.Discontinuities) > 0 {
				t.Errorf("of %q it entered %q, want %q", c.Log, got, c.Valid)
			}
		})
	}
}
