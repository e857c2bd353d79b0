package remoteconfig

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/fieldgate/fieldgate/gateway"
)

const (
	errorsMost    = 12 << 10 // bytes of JSON of what is reported; the body of an event must hold it
	sentencesMost = 64       // of a report: the protocol has no room for more
	sentenceMost  = 1 << 10  // bytes of one of them
)

func (k *Manager) refuse(d gateway.DesiredConfig, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.refuseLocked(d, gateway.ConfigRejected, err)
}

func (k *Manager) refuseLocked(d gateway.DesiredConfig, state gateway.ConfigState, err error) {
	o := gateway.ConfigOutcome{Ver: d.Ver, Hash: d.Hash, State: state, Errors: sentences(err)}
	k.kept.Refused, k.kept.Untold = &o, &o
	k.saveLocked()
}

// sentences gives the problems of err one by one, as far as they can be told.
func sentences(err error) []string {
	all := []string{err.Error()}
	var list interface{ Problems() []string }
	if errors.As(err, &list) {
		all = list.Problems()
	}
	bytes := 0
	told := make([]string, 0, min(len(all), sentencesMost))
	for i, s := range all {
		s = strings.ToValidUTF8(s[:min(len(s), sentenceMost)], "")
		text, _ := json.Marshal(s) // a string always has JSON, which may be six times as long
		bytes += len(text) + 1
		if bytes > errorsMost || i == sentencesMost-1 && len(all) > sentencesMost {
			return append(told, fmt.Sprintf("and %d more", len(all)-i))
		}
		told = append(told, s)
	}
	return told
}

// tell passes on what is not told yet. If power fails before that is noted, it
// is told again.
func (k *Manager) tell() {
	k.mu.Lock()
	o := k.kept.Untold
	k.mu.Unlock()
	if o == nil {
		return
	}
	k.parts.Tell(*o)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.kept.Untold = nil
	k.saveLocked()
}
