package cloud

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fieldgate/fieldgate/uplink/cloud/cloudtest"
)

// The audit log folds what repeats, keeps a bounded number, and waits for nobody.
func TestAuditLogIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kv := &cloudtest.KV{}
		s := inMemory(Options{KV: kv, Log: &cloudtest.Log{}})
		for i := range 1000 {
			s.audit("auth_failed", "", "refused", "remote", fmt.Sprintf("192.0.2.1:%d", i))
		}
		if n := len(s.auditLog.queue); n != 1 {
			t.Errorf("%d entries of one attacker", n)
		}
		for i := range 10 * auditSame {
			s.audit("auth_failed", "", "refused", "remote", fmt.Sprintf("10.%d.%d.1:1", i/256, i%256))
		}
		if len(s.auditLog.same) > auditSame || len(s.auditLog.queue) != auditQueue {
			t.Errorf("%d are told apart, %d wait", len(s.auditLog.same), len(s.auditLog.queue))
		}
		for len(s.auditLog.queue) > 0 {
			s.auditLog.write(<-s.auditLog.queue)
		}
		time.Sleep(2 * auditFold)
		s.audit("auth_failed", "", "refused", "remote", "192.0.2.9:1")
		if e := <-s.auditLog.queue; e.Details["lost_before"] == "" {
			t.Errorf("%+v", e)
		}
		for i := range auditKept + 2*auditSlack {
			s.auditLog.write(AuditEntry{At: time.Now().Add(time.Duration(i)), Event: "x"})
		}
		if n := len(kv.Docs); n > auditKept+auditSlack+1 || n < auditKept {
			t.Errorf("%d entries are kept", n)
		}
	})
}

// What repeats is folded, but how often it came is told, also if it never comes
// again, and when the server ends.
func TestFoldedIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kv := &cloudtest.KV{}
		s := inMemory(Options{KV: kv, Log: &cloudtest.Log{}, Logger: slog.New(slog.DiscardHandler)})
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { s.auditLog.run(ctx) })
		counts := func() (list []int) {
			synctest.Wait()
			for doc, err := range kv.List(t.Context(), "audit") {
				var e AuditEntry
				if err != nil || json.Unmarshal(doc.Body, &e) != nil {
					t.Fatal(err)
				}
				list = append(list, e.Count)
			}
			slices.Sort(list)
			return list
		}
		say := func(times int) {
			for range times {
				s.audit("enrolled", "g", "a gateway was enrolled", "remote", "192.0.2.1:1")
			}
		}
		say(1)
		time.Sleep(10 * auditFold)
		if got := counts(); !slices.Equal(got, []int{0}) {
			t.Errorf("entries of one: %v", got)
		}
		say(3)
		time.Sleep(10 * auditFold)
		if got := counts(); !slices.Equal(got, []int{0, 0, 2}) {
			t.Errorf("entries of one and three: %v", got)
		}
		say(2)
		stop()
		running.Wait()
		if got := counts(); !slices.Equal(got, []int{0, 0, 0, 1, 2}) {
			t.Errorf("entries at the end: %v", got)
		}
	})
}
