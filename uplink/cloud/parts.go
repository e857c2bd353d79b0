package cloud

import (
	"context"

	"github.com/fieldgate/fieldgate/uplink/cloud/record"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// A part does something with what gateways say beside storing it: the ledger,
// the live stream, commands. Its functions may be nil. They are told of every
// gateway, from many goroutines, and those of one session in order: opened,
// then any of stored and heard, then closed. The sessions of one gateway
// overlap: the older may be closed after the newer was opened; gen tells which
// is which. They may read gatewayID, id, gen, hello, codec, since and remote
// of a session, use its log, and send.
type part struct {
	// opened: the welcome has been sent. Nothing more of the session is read or
	// stored before it returns, so state may be read too; what it sends comes
	// right behind the welcome.
	opened func(x *session)
	// closed: the session has ended, and nothing of it is stored any more.
	closed func(x *session, cause error)
	// stored: r is durable, and not acknowledged before this returns, which
	// must be soon. m is the *wire.Update or *wire.Event that r.Body holds.
	// Called in the order of the chain, and not for what was there already. A
	// record of which the server never learned that it was stored (a crash, a
	// takeover) is in the log and not told of: what must be complete reads the
	// log.
	stored func(x *session, r record.Record, m wire.Message)
	// heard: a *wire.Status, *wire.Result, *wire.Reported or *wire.Bye came.
	// Nothing more of the session is read before it returns.
	heard func(x *session, m wire.Message)
	// run works beside all sessions, from Serve until the server ends.
	run func(ctx context.Context)
}

func (s *Server) notifyOpened(x *session) {
	for _, p := range s.parts {
		if p.opened != nil {
			p.opened(x)
		}
	}
}

func (s *Server) notifyClosed(x *session, cause error) {
	for _, p := range s.parts {
		if p.closed != nil {
			p.closed(x, cause)
		}
	}
}

func (s *Server) notifyStored(x *session, r record.Record, m wire.Message) {
	for _, p := range s.parts {
		if p.stored != nil {
			p.stored(x, r, m)
		}
	}
}

func (s *Server) notifyHeard(x *session, m wire.Message) {
	for _, p := range s.parts {
		if p.heard != nil {
			p.heard(x, m)
		}
	}
}
