package cloud

import "context"

// FlushAudit writes what waits for the audit log, as Serve does at its end.
func (s *Server) FlushAudit(ctx context.Context) {
	ended, end := context.WithCancel(ctx)
	end()
	s.auditLog.run(ended)
}
