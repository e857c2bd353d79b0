package cloud

import "context"

// Trail writes what waits for the audit trail, as Serve does at its end.
func (s *Server) Trail(ctx context.Context) {
	ended, end := context.WithCancel(ctx)
	end()
	s.trail.run(ended)
}
