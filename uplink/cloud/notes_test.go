package cloud

import (
	"log/slog"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fieldgate/fieldgate/uplink/cloud/cloudtest"
	"github.com/fieldgate/fieldgate/uplink/cloud/keyring"
)

// A note is taken over once, also after a crash in the middle; one that cannot
// be read keeps no other back, and is told once.
func TestNotesAreTakenOver(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		creds := keyring.Credentials{Dir: dir}
		kv := &cloudtest.KV{}
		var log strings.Builder
		tr := newAuditLog(kv, slog.New(slog.NewTextHandler(&log, nil)))
		tr.notes = keyring.Folder{Dir: dir}
		note := func(event string) {
			if err := Note(creds, AuditEntry{At: time.Now(), Event: event}); err != nil {
				t.Fatal(err)
			}
		}
		held := func() (events string) {
			for doc, err := range kv.List(t.Context(), "audit") {
				if err != nil {
					t.Fatal(err)
				}
				events += string(doc.Body)
			}
			return events
		}
		note("first")
		names, err := tr.notes.Names("audit")
		if err != nil || len(names) != 1 {
			t.Fatal(names, err)
		}
		for key := range names { // as if it had been written, and the server had died
			doc, err := tr.notes.Get(t.Context(), key)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := kv.Put(t.Context(), key, doc.Body, 0, 0); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Mkdir(dir+"/audits/a.json", 0o700); err != nil {
			t.Fatal(err)
		}
		note("second")
		for range 3 {
			tr.importNotes(t.Context())
		}
		if text := held(); strings.Count(text, `"first"`) != 1 || strings.Count(text, `"second"`) != 1 {
			t.Errorf("the audit log holds %s", text)
		}
		if names, err := tr.notes.Names("audit"); err != nil || len(names) != 1 {
			t.Errorf("%v is left, %v", names, err)
		}
		if n := strings.Count(log.String(), "level=ERROR"); n != 1 {
			t.Errorf("told %d times: %s", n, log.String())
		}
	})
}

// On a cluster a note goes straight to the KV that all share.
func TestNoteInTheKV(t *testing.T) {
	kv := &cloudtest.KV{}
	if err := Note(keyring.Credentials{KV: kv}, AuditEntry{At: time.Now(), Event: "gateway_added"}); err != nil {
		t.Fatal(err)
	}
	n := 0
	for doc, err := range kv.List(t.Context(), "audit") {
		if n++; err != nil || !strings.Contains(string(doc.Body), "gateway_added") {
			t.Errorf("%s, %v", doc.Body, err)
		}
	}
	if n != 1 {
		t.Errorf("%d entries", n)
	}
}

// What an operator does twice in a minute is two entries.
func TestActsAreNotFolded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := inMemory(Options{KV: &cloudtest.KV{}, Log: &cloudtest.Log{}, Logger: slog.New(slog.DiscardHandler)})
		for _, name := range []string{"postgres", "archive"} {
			s.auditAct("consumer_forgotten", "the log no longer waits for a consumer", "consumer", name, "remote", "192.0.2.1:1")
		}
		if a, b := <-s.auditLog.queue, <-s.auditLog.queue; a.Details["consumer"] != "postgres" ||
			b.Details["consumer"] != "archive" || a.Count+b.Count != 0 {
			t.Errorf("%+v, %+v", a, b)
		}
	})
}
