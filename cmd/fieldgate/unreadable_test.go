package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/fieldgate/fieldgate/packaging/e2e"
)

// refused starts the gateway while the kernel refuses to open one path, with
// the error number named.
func (s *testGateway) refused(t *testing.T, errno, path string) {
	t.Helper()
	self := s.program
	defer func() { s.program = self }()
	s.program = func(t *testing.T, args ...string) *exec.Cmd {
		cmd := self(t, args...)
		strace, err := exec.LookPath("strace")
		if err != nil {
			t.Fatal(err)
		}
		inject := []string{"strace", "-D", "-f", "-qq", "-o", os.DevNull, "-e", "trace=openat", "-e", "inject=openat:error=" + errno, "-P", path}
		cmd.Path, cmd.Args = strace, append(inject, cmd.Args...)
		return cmd
	}
	s.start(t)
}

// Whatever the kernel says when a file, folder or lock of the store is opened
// (EBADMSG is one wrong checksum of ext4), the gateway samples; and nothing of
// what was on the card, and nothing that was read meanwhile, is lost or called
// damaged, also without a line to the cloud.
func TestOpenErrorsOfStoreFiles(t *testing.T) {
	t.Parallel()
	cloud := newCloud(t, "plant-7")
	addr := e2e.FreeAddr(t)
	st := newTestGateway(t, cloud, addr)
	state := filepath.Join(filepath.Dir(st.config), "state")
	screen := e2e.Watch(t, addr)
	st.start(t)
	screen.Await(t, "readings", 0, func(rs []e2e.Reading, _ e2e.Status) bool { return len(rs) >= 200 })
	st.end(t, syscall.SIGTERM)
	for _, c := range []struct{ name, errno, subject string }{
		{"lock", "EBADMSG", state},
		{"log", "EBADMSG", state},
		{"log", "EACCES", state},
		{"state.db", "EACCES", state},
		{"state.db", "EIO", state},
		{"journal", "ENOMEM", "journal"},
		{"journal", "EUCLEAN", "journal"},
		{"log/000001.db", "EMFILE", "000001.db"},
		{"log/000001.db", "ESTALE", "000001.db"},
		{"log/000001.db", "EACCES", "000001.db"},
	} {
		t.Run(c.name+" "+c.errno, func(t *testing.T) {
			from := screen.Count()
			st.refused(t, c.errno, filepath.Join(state, c.name))
			screen.Await(t, "sampling, and people told", from,
				func(rs []e2e.Reading, s e2e.Status) bool { return len(rs) >= 50 && s.About(c.subject) })
			st.end(t, syscall.SIGTERM)
		})
	}
	cloud.Start(t)
	st.start(t)
	all, _, _ := screen.Snapshot()
	held, _ := cloud.AwaitAll(t, all)
	if len(held.Gaps) > 0 {
		t.Errorf("gaps %v", held.Gaps)
	}
	for _, fault := range held.Faults() {
		t.Error(fault)
	}
	if aside, _ := filepath.Glob(filepath.Join(state, "quarantine", "*")); len(aside) > 0 {
		t.Errorf("in quarantine: %v", aside)
	}
}
