// Package health is the one table of what is wrong at present: conditions
// with a code, a severity, a sentence for people, and since when. A condition
// is told to the log twice: when it begins and when it ends.
package health

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"
)

// Severity says how bad a condition is.
type Severity string

// The severities. A warning costs comfort, an error costs readings or proof.
const (
	Warning Severity = "warning"
	Error   Severity = "error"
)

// A Condition is something that is wrong now. Code and Subject name it.
type Condition struct {
	Code     string    `json:"code"`              // "uplink_auth", "sensor_absent", …
	Subject  string    `json:"subject,omitempty"` // device, bus or file that it concerns
	Severity Severity  `json:"severity"`
	Sentence string    `json:"sentence"` // what, where, and what to do
	Since    time.Time `json:"since"`
}

// A Table holds the conditions of one daemon. Its methods may be called from
// any goroutine.
type Table struct {
	log *slog.Logger

	mu      sync.Mutex
	now     map[[2]string]Condition
	changed chan struct{} // closed and replaced at every change
}

// New makes an empty table that logs to log.
func New(log *slog.Logger) *Table {
	return &Table{log: log, now: map[[2]string]Condition{}, changed: make(chan struct{})}
}

// Raise begins a condition, or rewords one that holds. Only a beginning and a
// change of severity are logged.
func (t *Table) Raise(code, subject string, severity Severity, sentence string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	key := [2]string{code, subject}
	c, held := t.now[key]
	if held && c.Severity == severity && c.Sentence == sentence {
		return
	}
	if !held {
		c = Condition{Code: code, Subject: subject, Since: time.Now()}
	}
	tell := !held || c.Severity != severity
	c.Severity, c.Sentence = severity, sentence
	t.now[key] = c
	t.signalLocked()
	if !tell {
		return
	}
	level := slog.LevelWarn
	if severity == Error {
		level = slog.LevelError
	}
	t.log.Log(context.Background(), level, sentence, attrs(c)...)
}

// Clear ends a condition and tells so with the given sentence; "" tells
// nothing. Clearing what does not hold does nothing.
func (t *Table) Clear(code, subject, sentence string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	key := [2]string{code, subject}
	c, held := t.now[key]
	if !held {
		return
	}
	delete(t.now, key)
	t.signalLocked()
	if sentence != "" {
		lasted := time.Since(c.Since).Round(time.Second)
		t.log.Info(sentence, append(attrs(c), "after", lasted)...)
	}
}

// List gives the conditions that hold, errors first, then the oldest.
func (t *Table) List() []Condition {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := make([]Condition, 0, len(t.now))
	for _, c := range t.now {
		list = append(list, c)
	}
	slices.SortFunc(list, func(a, b Condition) int {
		if a.Severity != b.Severity {
			return strings.Compare(string(a.Severity), string(b.Severity)) // "error" < "warning"
		}
		if c := a.Since.Compare(b.Since); c != 0 {
			return c
		}
		return strings.Compare(a.Code+a.Subject, b.Code+b.Subject)
	})
	return list
}

// Changed gives a channel that is closed at the next change.
func (t *Table) Changed() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.changed
}

func (t *Table) signalLocked() {
	close(t.changed)
	t.changed = make(chan struct{})
}

func attrs(c Condition) []any {
	if c.Subject == "" {
		return []any{"condition", c.Code}
	}
	return []any{"condition", c.Code, "subject", c.Subject}
}
