package postgres

import (
	"slices"
	"strings"
	"testing"

	"github.com/fieldgate/fieldgate/uplink/cloud/cloudtest"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
)

// The sink sees each record once, and cannot look what the log has. So it may
// take one that follows a void one; but it leaves out no valid one that holds
// readings, and none of those that name an older predecessor slips through.
func TestSinkLeavesOutVoidRecords(t *testing.T) {
	for _, c := range cloudtest.ChainCases {
		t.Run(c.Name, func(t *testing.T) {
			g := &gatewayRow{}
			for _, r := range c.Records() {
				valid := slices.Contains(strings.Fields(c.Valid), r.ID)
				void := g.void(r)
				if void && valid && r.Kind != record.KindOpen {
					t.Errorf("of %q it leaves out %s", c.Log, r.ID)
				}
				if !void && !valid && r.PrevSeq <= g.last.Seq {
					t.Errorf("of %q it takes %s", c.Log, r.ID)
				}
				if !void {
					g.last = r.Place()
				}
			}
		})
	}
}
