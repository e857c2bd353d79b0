package systemd

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
	"unicode"
)

// NewHandler is NewHandlerFrom with slog.LevelInfo.
func NewHandler(w *Stream) slog.Handler { return NewHandlerFrom(w, slog.LevelInfo) }

// NewHandlerFrom returns a handler that writes one line per record to w, from level on. It never waits for a reader.
//
// Where w is the journal's own stream the line is "<N>message key=value …", N being the syslog priority of
// sd-daemon(3); the journal adds time and unit itself. Anywhere else it is "time LEVEL message key=value …".
// A line break in a message or a value is written as \n, so that one record stays one journal entry.
func NewHandlerFrom(w *Stream, level slog.Level) slog.Handler {
	prefix := humanPrefix
	if IsJournal(w.File()) {
		prefix = journalPrefix
	}
	w.TellLost(func(sentence string) []byte {
		return []byte(prefix(slog.Record{Time: time.Now(), Level: slog.LevelWarn}) + sentence + "\n")
	})
	return newHandler(w, prefix, level)
}

// NewTerminalHandler returns a handler that writes as at a terminal, from slog.LevelInfo on, whatever w is.
func NewTerminalHandler(w io.Writer) slog.Handler { return newHandler(w, humanPrefix, slog.LevelInfo) }

// ParsePriority takes apart a line that a handler wrote for the journal; false: it is none.
func ParsePriority(line string) (level slog.Level, text string, ok bool) {
	for level, prefix := range map[slog.Level]string{
		slog.LevelError: "<3>", slog.LevelWarn: "<4>", slog.LevelInfo: "<6>", slog.LevelDebug: "<7>",
	} {
		if text, ok := strings.CutPrefix(line, prefix); ok {
			return level, text, true
		}
	}
	return slog.LevelInfo, line, false
}

func newHandler(w io.Writer, prefix func(slog.Record) string, level slog.Level) slog.Handler {
	out := &output{w: w, prefix: prefix}
	return &handler{out: out, attrs: slog.NewTextHandler(&out.line, &slog.HandlerOptions{Level: level, ReplaceAttr: attrsOnly})}
}

// IsJournal reports whether w is the very stream that systemd connected to the journal. The variable alone
// proves nothing: it is inherited by children whose stderr goes elsewhere (systemd.exec(5), $JOURNAL_STREAM).
func IsJournal(w *os.File) bool {
	var st syscall.Stat_t
	if err := syscall.Fstat(int(w.Fd()), &st); err != nil {
		return false
	}
	return os.Getenv("JOURNAL_STREAM") == fmt.Sprintf("%d:%d", st.Dev, st.Ino)
}

// handler puts its own prefix and message before the attributes, which it leaves to slog's text handler.
type handler struct {
	out   *output
	attrs slog.Handler // writes into out.line
}

// output is shared by a handler and all that come from it by WithAttrs and WithGroup.
type output struct {
	prefix func(slog.Record) string

	mu   sync.Mutex
	w    io.Writer
	line bytes.Buffer // the record being written
}

func (h *handler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.attrs.Enabled(ctx, level)
}

// Handle writes the record with a single Write, so that lines of several processes on one stream do not mix.
func (h *handler) Handle(ctx context.Context, r slog.Record) error {
	h.out.mu.Lock()
	defer h.out.mu.Unlock()
	h.out.line.Reset()
	h.out.line.WriteString(h.out.prefix(r) + oneLine(r.Message) + " ")
	r.Time, r.Message = time.Time{}, ""
	if err := h.attrs.Handle(ctx, r); err != nil {
		return fmt.Errorf("format log record: %w", err)
	}
	line := append(bytes.TrimRight(h.out.line.Bytes(), " \n"), '\n')
	if _, err := h.out.w.Write(line); err != nil {
		return fmt.Errorf("write log record: %w", err)
	}
	return nil
}

func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &handler{out: h.out, attrs: h.attrs.WithAttrs(attrs)}
}

func (h *handler) WithGroup(name string) slog.Handler {
	return &handler{out: h.out, attrs: h.attrs.WithGroup(name)}
}

// attrsOnly leaves out the level and the empty message that Handle passes on; a zero time the text handler leaves
// out itself. It looks at the values too, because "level" and "msg" are also good names for attributes.
func attrsOnly(groups []string, a slog.Attr) slog.Attr {
	_, isLevel := a.Value.Any().(slog.Level)
	builtin := a.Key == slog.LevelKey && isLevel || a.Key == slog.MessageKey && a.Value.Equal(slog.StringValue(""))
	if len(groups) == 0 && builtin {
		return slog.Attr{}
	}
	return a
}

// oneLine escapes control characters as Go does in strings, and leaves everything else as it is.
func oneLine(s string) string {
	if strings.IndexFunc(s, unicode.IsControl) < 0 {
		return s
	}
	quoted := strconv.Quote(s)
	return quoted[1 : len(quoted)-1]
}

func humanPrefix(r slog.Record) string {
	return fmt.Sprintf("%s %-5s ", r.Time.Format("2006-01-02 15:04:05.000"), r.Level)
}

// journalPrefix gives the priority by consequence: 3 err, 4 warning, 6 info, 7 debug.
func journalPrefix(r slog.Record) string {
	switch {
	case r.Level >= slog.LevelError:
		return "<3>"
	case r.Level >= slog.LevelWarn:
		return "<4>"
	case r.Level >= slog.LevelInfo:
		return "<6>"
	}
	return "<7>"
}
