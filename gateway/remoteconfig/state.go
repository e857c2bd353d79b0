package remoteconfig

import (
	"fmt"
	"strings"

	"github.com/fieldgate/fieldgate/gateway"
)

const shownMost = 1 << 10 // bytes of what is told on site of a refusal

// A State is what the gateway says on site of the cloud's configuration.
type State struct {
	Ver     uint64 // in force; 0: the board's own files alone
	OnTrial bool   // not confirmed yet
	// Refused is the newest that is not in force although the cloud wanted it,
	// until one that came later is; nil: there is none. The first of its errors,
	// and how many more there are.
	Refused *gateway.ConfigOutcome
}

// State tells what is in force now.
func (k *Manager) State() State {
	ver, _ := k.Applied()
	k.mu.Lock()
	defer k.mu.Unlock()
	s := State{Ver: ver, OnTrial: k.kept.Trial != nil}
	if r := k.kept.Refused; r != nil && r.Ver >= ver { // the same number may name two documents
		short := *r
		short.Errors = first(r.Errors)
		s.Refused = &short
	}
	return s
}

func first(all []string) (some []string) {
	bytes := 0
	for i, s := range all {
		if bytes += len(s); bytes > shownMost && i > 0 {
			return append(some, fmt.Sprintf("and %d more", len(all)-i))
		}
		some = append(some, strings.ToValidUTF8(s[:min(len(s), shownMost)], ""))
	}
	return some
}
