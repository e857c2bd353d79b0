package store_test

import (
	"strings"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/gateway/files"
	"github.com/fieldgate/fieldgate/gateway/health"
	"github.com/fieldgate/fieldgate/store"
)

// A store that lies in RAM, or may, says so from its opening on, and a power
// cut costs all that the cloud does not have.
func TestVolatileStoreIsTold(t *testing.T) {
	for keeping, severity := range map[files.Keeping]health.Severity{
		files.Volatile: health.Error, files.Unknown: health.Warning, files.Durable: "",
	} {
		for _, inLog := range []bool{false, true} { // log/ alone may lie elsewhere
			var table *health.Table
			inStore(t, func(o *store.Options) {
				tellAll(&table)(o)
				o.Where = func(dir string) (files.Keeping, string) {
					if strings.HasSuffix(dir, "log") == inLog {
						return keeping, "in a place of the test"
					}
					return files.Durable, ""
				}
			}, func(b *bench) {
				b.append(10)
				b.sleep(time.Hour)
				st, told := b.s.Stats(), table.List()
				if st.Keeping != keeping || (st.LossWindow >= time.Hour) != (keeping != files.Durable) {
					t.Errorf("%d, log alone %v: the figures say %d, and %v may be lost", keeping, inLog, st.Keeping, st.LossWindow)
				}
				if keeping == files.Durable && len(told) == 0 {
					return
				}
				if len(told) != 1 || told[0].Code != store.ConditionVolatile || told[0].Severity != severity ||
					!strings.Contains(told[0].Sentence, "volatile") || !strings.Contains(told[0].Sentence, "in a place of the test") {
					t.Errorf("%d, log alone %v: people are told %+v", keeping, inLog, told)
				}
			})
		}
	}
}
