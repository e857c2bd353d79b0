package cloud

import "context"

// Trail writes what waits for the audit log, as Serve does at its end.
func (s *Server) Trail(ctx context.Context) {
	ended, end := context.WithCancel(ctx)
	end()
	s.auditLog.run(ended)
}
