package remoteconfig_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/remoteconfig"
)

// asNobody calls do with the rights of nobody on files; the thread has its own
// again when it returns.
func asNobody(t *testing.T, do func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can give its rights away")
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Setfsuid(65534); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Setfsuid(0); err != nil {
			panic(err)
		}
	}()
	do()
}

// The file belongs to somebody else for a while: it is neither replaced nor set
// aside, what the cloud sends meanwhile waits, and what it holds is put in force
// as soon as it can be read.
func TestFileThatMayNotBeRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.json")
	synctest.Test(t, func(t *testing.T) {
		b := &board{T: t, path: path}
		b.net.Store(true)
		b.start()
		b.send(desire(1, "good"))
		b.want("good", applied)
		b.stop()
		before, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var k *remoteconfig.Manager
		asNobody(t, func() { k = remoteconfig.Open(path, quiet) })
		if d, _ := k.Begin(); d != nil {
			t.Fatalf("%q is in force, though the file cannot be read", d.Doc)
		}
		k.Use(remoteconfig.Parts{Check: check, Tell: func(o gateway.ConfigOutcome) { t.Errorf("told: %+v", o) },
			Reachable: func(context.Context) bool { return true }})
		ended := make(chan error, 1)
		go func() { ended <- k.Run(t.Context()) }()
		k.Take(desire(2, "better"))
		synctest.Wait()
		after, err := os.ReadFile(path)
		if !bytes.Equal(before, after) {
			t.Errorf("the file now holds %q (%v)", after, err)
		}
		if left, _ := filepath.Glob(path + "*"); len(left) != 1 {
			t.Errorf("the folder holds %v", left)
		}
		time.Sleep(11 * time.Second) // of the bubble
		select {
		case err := <-ended:
			if d, _ := k.Begin(); !errors.Is(err, remoteconfig.ErrRestart) || d == nil || d.Doc != "good" {
				t.Errorf("run ended with %v, in force is %+v", err, d)
			}
		default:
			t.Error("the file is not read again")
		}
	})
}
