package store

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"github.com/fieldgate/fieldgate/gateway"
)

// bucketCommands holds the records of commands, by id, as sealed JSON.
var bucketCommands = []byte("commands")

const (
	maxCommands = 10_000         // records
	commandKept = 24 * time.Hour // a finished one answers repeats at least so long, as far as there is room
)

// SaveCommand makes the record of a command durable, and in the same
// transaction the event of its result, if there is one. The error is that of
// the card; then neither is on it, and the command must not act.
func (s *Store) SaveCommand(c gateway.CommandRecord, result *gateway.Event) error {
	text, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("encode command: %w", err)
	}
	key := []byte(c.ID)
	if len(key) == 0 || len(key) > 64 {
		return fmt.Errorf("keep command: its id has %d bytes, must have 1 to 64", len(key))
	}
	spent := s.spentCommands()
	var placed *heldEvent
	if result != nil {
		placed = s.placeEvent(*result)
	}
	// Command and result in one transaction. If power dies before it, the command
	// has not acted, for it acts only when this has returned; behind it, a repeat
	// of the command is answered from the record.
	err = s.saveEvents(placed, func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucketIfNotExists(bucketCommands)
		if err != nil {
			return err
		}
		for _, id := range spent {
			if err := b.Delete([]byte(id)); err != nil {
				return err
			}
		}
		return b.Put(key, seal(key, string(text)))
	})
	if err != nil {
		s.withdraw(placed)
		return fmt.Errorf("keep command: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range spent {
		delete(s.commands, id)
	}
	s.commands[c.ID] = c
	return nil
}

// withdraw takes an event back that could not be written with its command.
func (s *Store) withdraw(h *heldEvent) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h == nil {
		return
	}
	if i := s.lane.find(h.Name); i >= 0 {
		h.saved = true // if the write was applied although it failed, it goes with the next one
		s.lane.removeAt(i)
	}
}

// Command gives the record of a command that was received before.
func (s *Store) Command(id string) (c gateway.CommandRecord, known bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, known = s.commands[id]
	return c, known
}

// OpenCommands gives the records of commands that are not finished, in the
// order in which they came: at the start, of those that a crash or an orderly
// stop interrupted.
func (s *Store) OpenCommands() (open []gateway.CommandRecord) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.commands {
		if !c.State.Final() {
			open = append(open, c)
		}
	}
	slices.SortFunc(open, func(a, b gateway.CommandRecord) int {
		return cmp.Or(cmp.Compare(a.Anchor.Wall(a.Received).UnixMicro(), b.Anchor.Wall(b.Received).UnixMicro()), cmp.Compare(a.ID, b.ID))
	})
	return open
}

// StateLost tells whether this opening found the records of commands lost or
// older than the rest: a command that is not known may have acted.
func (s *Store) StateLost() bool { return s.stateLost || s.stateOld }

// spentCommands lists records that may go: when there are too many, the
// oldest finished ones; before that, those that are old enough.
func (s *Store) spentCommands() (ids []string) {
	now, stamp := s.o.Clock.Anchor(), s.o.Clock.Stamp()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.commands) < maxCommands/2 {
		return nil
	}
	finished := slices.DeleteFunc(slices.Collect(maps.Values(s.commands)), func(c gateway.CommandRecord) bool { return !c.State.Final() })
	slices.SortFunc(finished, func(a, b gateway.CommandRecord) int {
		return cmp.Compare(a.Anchor.Wall(a.Received).UnixMicro(), b.Anchor.Wall(b.Received).UnixMicro())
	})
	for i, c := range finished {
		age := now.Wall(stamp).Sub(c.Anchor.Wall(c.Received))
		if len(s.commands)-i >= maxCommands || age > 8*commandKept { // expiry is at most 7 d
			ids = append(ids, c.ID)
		}
	}
	return ids
}

// putCommands writes all records.
func putCommands(tx *bbolt.Tx, all map[string]gateway.CommandRecord) error {
	b, err := tx.CreateBucketIfNotExists(bucketCommands)
	if err != nil {
		return err
	}
	for id, c := range all {
		text, err := json.Marshal(c)
		if err != nil {
			return fmt.Errorf("encode command: %w", err)
		}
		if err := b.Put([]byte(id), seal([]byte(id), string(text))); err != nil {
			return err
		}
	}
	return nil
}

// loadCommands reads the records. Those that make no sense are left out and
// counted.
func (st *state) loadCommands() (all map[string]gateway.CommandRecord, damaged int, err error) {
	all = map[string]gateway.CommandRecord{}
	err = st.each(bucketCommands, func(k, v []byte) {
		c, err := parseCommand(k, v)
		if err != nil {
			damaged++
			return
		}
		all[c.ID] = c
	})
	return all, damaged, err
}

// parseCommand reads what stands under a key of the commands.
func parseCommand(k, v []byte) (c gateway.CommandRecord, err error) {
	text, err := unseal(k, v)
	if err == nil {
		err = json.Unmarshal(text, &c)
	}
	if err == nil && c.ID != string(k) {
		err = fmt.Errorf("%w: command %q under the key of %q", errDamaged, c.ID, k)
	}
	return c, err
}
