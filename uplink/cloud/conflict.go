package cloud

import (
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

const (
	maxTakeovers    = 3 // back and forth between two boards …
	takeoversWithin = 10 * time.Minute
)

var errConflict = &closing{wire.CloseConflict, "two boards use this identity"}

// A board is one run of one installation. A card that was copied has the
// install id of its original, but no two boards boot together.
type board struct {
	install [16]byte
	boot    gateway.BootID
}

func (x *session) board() board { return board{x.hello.InstallID, x.hello.BootID} }

// A takeover is a session that took the place of a living one of another
// board. A board that reboots does so once: two that do so in turn are two.
type takeover struct {
	at       time.Time
	from, to board
}

func (t takeover) between(a, b board) bool {
	return t.from == a && t.to == b || t.from == b && t.to == a
}

// noteTakeover notes a takeover and reports whether two boards have been taking
// over from each other.
func (l *gatewayEntry) noteTakeover(t takeover) bool {
	if t.from == t.to {
		return false // the same board, over a new connection
	}
	same, kept := 1, l.takeovers[:0]
	for _, old := range l.takeovers {
		if t.at.Sub(old.at) > takeoversWithin {
			continue
		}
		kept = append(kept, old)
		if old.between(t.from, t.to) {
			same++
		}
	}
	l.takeovers = append(kept[max(0, len(kept)-4*maxTakeovers):], t)
	return same > maxTakeovers
}

// conflicted tells people of two boards with one identity, once for each time
// that it is found.
func (s *Server) conflicted(x *session, other board, remote string) {
	s.audit("identity_conflict", x.gatewayID,
		"two boards use the identity of this gateway and take over from each other; give one of them its own",
		"boot", x.hello.BootID, "remote", x.remote, "other_boot", other.boot, "other_remote", remote)
}
