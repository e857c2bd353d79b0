package uplink_test

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/uplink"
)

// After a connect the log says once how many readings waited and in what time
// the cloud had them, however many epochs they are of; where nothing waited it
// says nothing.
func TestDeliveredBacklogIsLogged(t *testing.T) {
	told := regexp.MustCompile(`level=INFO msg="(\d+) waiting readings delivered in \d+\.\d s"`)
	said := func(w *testbed, want ...string) {
		t.Helper()
		var got []string
		for _, line := range told.FindAllStringSubmatch(w.log.String(), -1) {
			got = append(got, line[1])
		}
		if strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("the log tells of %v, want %v:\n%s", got, want, w.log)
		}
	}
	again := func(w *testbed, n int) { // the line breaks, and n readings come before the next session
		t.Helper()
		before := w.up.Status().Session
		w.net.Cut()
		if n > 0 {
			w.store.Append(n)
		}
		w.until(time.Minute, "another session", func() bool { s := w.up.Status(); return s.State == uplink.Online && s.Session != before })
	}
	inTestbed(t, func(w *testbed, _ *uplink.Options) {
		w.store.Append(500)
		w.store.Reopen(true)
		w.store.Append(30)
		w.store.Reopen(false)
		w.store.Append(7)
	}, func(w *testbed) {
		w.online()
		w.complete(time.Minute)
		w.pass(time.Second)
		said(w, "537")
		w.store.Append(100)
		w.complete(time.Minute)
		again(w, 12)
		w.complete(time.Minute)
		w.pass(time.Second)
		said(w, "537", "12")
		again(w, 0)
		w.pass(time.Minute)
		said(w, "537", "12")
	})
}
