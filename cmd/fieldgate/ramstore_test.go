package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fieldgate/fieldgate/packaging/e2e"
)

// A store on a tmpfs is called volatile on the page, in the answer of the API,
// in the metrics, once in the log, and by the cloud; the loss window grows with
// what the cloud lacks.
func TestStoreInRAMIsToldEverywhere(t *testing.T) {
	t.Parallel()
	cloud := newCloud(t, "plant-7")
	addr := e2e.FreeAddr(t)
	st := newTestGateway(t, cloud, addr)
	state := filepath.Join(filepath.Dir(st.config), "state")
	if err := os.Mkdir(state, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("none", state, "tmpfs", 0, "size=64m"); err != nil {
		if os.Getuid() == 0 {
			t.Fatalf("mount: %v", err)
		}
		e2e.Skip(t, fmt.Sprintf("cannot mount a tmpfs: %v", err))
	}
	t.Cleanup(func() { _ = unix.Unmount(state, unix.MNT_DETACH) })
	st.start(t)
	e2e.Watch(t, addr).Await(t, "the condition, and a window beyond the flush interval", 0, func(_ []e2e.Reading, s e2e.Status) bool {
		for _, c := range s.Health {
			if c.Code == "store_volatile" && strings.Contains(c.Sentence, "is volatile") && strings.Contains(c.Sentence, "tmpfs") {
				return s.Store.LossWindow > 3
			}
		}
		return false
	})
	if text := body(t, "http://"+addr+"/api/v1/status"); !strings.Contains(text, `"volatile":"yes"`) {
		t.Errorf("the API says %s", text)
	}
	if text := body(t, "http://"+addr+"/metrics"); !strings.Contains(text, "fieldgate_store_volatile 1\n") {
		t.Errorf("the metrics say\n%s", text)
	}
	cloud.Start(t)
	for end := time.Now().Add(e2e.Patience); ; time.Sleep(100 * time.Millisecond) {
		text, err := cloud.Fleet(t.Context())
		if err == nil && strings.Contains(text, `"code":"store_volatile"`) && strings.Contains(text, `"store_volatile":1`) {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("the cloud says %s, %v", text, err)
		}
	}
	st.end(t, syscall.SIGTERM)
	if text, err := os.ReadFile(st.log); err != nil || strings.Count(string(text), "store_volatile") != 1 {
		t.Errorf("the log does not tell it once, %v:\n%s", err, text)
	}
}
