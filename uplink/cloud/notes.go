package cloud

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/fieldgate/fieldgate/uplink/cloud/keyring"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
)

const notesEvery = 2 * time.Second

// Note puts an entry into the audit log from beside the server: a command
// that changes credentials notes it where they are. From a folder the server
// takes it into its own, at once if it runs, else when it starts.
func Note(c keyring.Credentials, e AuditEntry) error {
	body, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("note in the audit log: %w", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), keyring.Within)
	defer cancel()
	if _, err := c.Store().Put(ctx, auditKey(e.At, 0), body, 0, auditAge); err != nil {
		return fmt.Errorf("note in the audit log: %w", err)
	}
	return nil
}

// importNotes moves what was noted beside the server to the KV. An entry has
// the same key there, so that a crash in between does not make two of it.
func (t *auditLog) importNotes(ctx context.Context) {
	if t.notes.Dir == "" {
		return
	}
	keys, failed := t.notes.Names("audit")
	for key := range keys {
		failed = errors.Join(failed, t.importNote(ctx, key))
	}
	if failed != nil && !t.failing && ctx.Err() == nil {
		t.log.Error("what commands have noted for the audit log cannot be taken over; trying again", "error", failed)
	}
	t.failing = failed != nil
}

func (t *auditLog) importNote(ctx context.Context, key string) error {
	doc, err := t.notes.Get(ctx, key)
	if errors.Is(err, record.ErrNoDoc) {
		return nil // another has taken it
	}
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, keyring.Within)
	defer cancel()
	if _, err := t.kv.Put(ctx, key, doc.Body, 0, auditAge); err != nil && !errors.Is(err, record.ErrRevision) {
		return err
	}
	t.wrote(ctx)
	return t.notes.Delete(ctx, key)
}
