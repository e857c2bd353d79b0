package cloud

// useConsumers adds the parts that serve those who read: the ledger.
func (s *Server) useConsumers() {
	if s.opt.Feed != nil && s.opt.Shelf != nil {
		l := &ledger{log: s.opt.Log, feed: s.opt.Feed, shelf: s.opt.Shelf, logger: s.opt.Logger}
		s.parts = append(s.parts, part{run: l.run})
	}
}
