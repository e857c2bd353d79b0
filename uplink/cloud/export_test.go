package cloud

import (
	"context"
	"time"
)

// FlushAudit writes what waits for the audit log, as Serve does at its end.
func (s *Server) FlushAudit(ctx context.Context) {
	ended, end := context.WithCancel(ctx)
	end()
	s.auditLog.run(ended)
}

// HurryLedger makes the ledger wait no longer than this between two saves.
func (s *Server) HurryLedger(pause time.Duration) { s.ledger.Pause = pause }

// RunParts starts what Serve runs beside all sessions; stop ends and joins it.
func (s *Server) RunParts() (stop func()) {
	done := make(chan struct{})
	n := 0
	for _, p := range s.parts {
		if p.run != nil {
			n++
			go func() { p.run(s.ctx); done <- struct{}{} }()
		}
	}
	return func() {
		s.Close()
		for range n {
			<-done
		}
	}
}

// Listening gives how many live clients are told of readings.
func (s *Server) Listening() int { return s.hub.Clients() }
