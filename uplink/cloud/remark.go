package cloud

import (
	"context"
	"log/slog"
	"time"
)

const (
	remarksAtOnce = 10               // of one gateway …
	remarkEvery   = 10 * time.Second // and then one in so long
)

// remark logs what a gateway says or does wrong, as often as one gateway is
// worth it: what is left out is counted in the next line. The journal of the
// server is not the gateway's to fill, whatever it sends and however often it
// connects anew.
func (x *session) remark(level slog.Level, sentence string, args ...any) {
	s := x.server
	s.mu.Lock()
	l := s.entryLocked(x.gatewayID)
	said, unsaid := l.remarks.Allow(), l.unsaid
	if l.unsaid++; said {
		l.unsaid = 0
	}
	s.mu.Unlock()
	if !said {
		return
	}
	if unsaid > 0 {
		args = append(args, "left_out_before", unsaid)
	}
	x.log.Log(context.WithoutCancel(x.ctx), level, sentence, args...)
}
