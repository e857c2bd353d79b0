package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fieldgate/fieldgate/packaging/e2e"
)

// fullCard gives a folder on a file system of its own that has no room at all.
func fullCard(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("mount: %v", err)
		}
		t.Skipf("SKIPPED: cannot mount a small file system: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	state := filepath.Join(dir, "state")
	err := os.Mkdir(state, 0o700)
	if ferr := os.WriteFile(filepath.Join(dir, "rest"), make([]byte, 2<<20), 0o600); !errors.Is(ferr, unix.ENOSPC) {
		t.Fatal(ferr)
	}
	if err != nil {
		t.Fatal(err)
	}
	return state
}

// An orderly stop with a card that takes nothing and the line up: what only
// memory has is sent before the uplink ends. All that was seen on site is in
// the cloud's log.
func TestStopOnCardWithoutRoom(t *testing.T) {
	t.Parallel()
	cloud, addr := newCloud(t, "plant-7"), e2e.FreeAddr(t)
	st := newTestGateway(t, cloud, addr)
	text, err := os.ReadFile(st.config)
	if err != nil {
		t.Fatal(err)
	}
	own := filepath.Join(filepath.Dir(st.config), "state")
	if !bytes.Contains(text, []byte(own)) {
		t.Fatalf("the store is not in %s", own)
	}
	write(t, st.config, string(bytes.Replace(text, []byte(own), []byte(fullCard(t)), 1)))
	st.setChips(t, 10, 20*time.Millisecond)
	cloud.Start(t)
	st.start(t)
	screen := e2e.Watch(t, addr)
	screen.Await(t, "500 readings, online", 0, func(rs []e2e.Reading, s e2e.Status) bool { return len(rs) > 500 && isOnline(rs, s) })
	if err := st.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	_ = st.cmd.Wait() // it says that the card took nothing
	seen, _, _ := screen.Snapshot()
	cloud.AwaitAll(t, seen)
}
