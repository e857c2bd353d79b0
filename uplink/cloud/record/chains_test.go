package record_test

import (
	"strings"
	"testing"

	"github.com/fieldgate/fieldgate/uplink/cloud/cloudtest"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
)

func TestValidLeavesOutVoidRecords(t *testing.T) {
	for _, c := range cloudtest.ChainCases {
		t.Run(c.Name, func(t *testing.T) {
			l := &cloudtest.Log{Records: c.Records()}
			var got []string
			for r, err := range record.Valid(l.Read(t.Context(), "g", 0)) {
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, r.ID)
			}
			if strings.Join(got, " ") != c.Valid {
				t.Errorf("of %q valid are %q, want %q", c.Log, got, c.Valid)
			}
		})
	}
}
