// Package remoteconfig keeps the configuration that the cloud desires: it is checked
// whole, staged on the card, tried, and then confirmed or rolled back. The
// board's own files are never written.
//
// All of it is one file, replaced whole at every step. If power fails,
//
//	before a trial is noted   the configuration is not known; the cloud sends it again
//	while it is on trial      it is tried again, a few times at most
//	after that                what was decided holds, and is told
package remoteconfig

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
)

const (
	startsMost     = 3 // of one trial
	defaultConfirm = 5 * time.Minute
	probeEvery     = 10 * time.Second
)

// ErrRestart is what Run says when another configuration is to be put in
// force: Begin gives it.
var ErrRestart = errors.New("another configuration is to be put in force")

// Parts is what a Manager works with while one configuration is in force. Check
// and Tell must be set.
type Parts struct {
	Check   func(d gateway.DesiredConfig) error // a list of problems has Problems() []string
	Tell    func(o gateway.ConfigOutcome)       // makes an outcome durable, and known to the cloud
	Confirm bool                                // the trial changes how the cloud is reached: only a session proves it
	// Reachable tells whether the network works otherwise: then it is the
	// trial's fault that there is no session. Called where Confirm is set.
	Reachable func(ctx context.Context) bool
}

// kept is the content of the file.
type kept struct {
	Current *gateway.DesiredConfig `json:"current,omitempty"` // confirmed
	Trial   *trial                 `json:"trial,omitempty"`
	Refused *gateway.ConfigOutcome `json:"refused,omitempty"` // the newest that is not in force: asked again, the answer is the same
	Untold  *gateway.ConfigOutcome `json:"untold,omitempty"`
}

type trial struct {
	gateway.DesiredConfig
	Starts int `json:"starts"`
}

// A Manager lives as long as the process. Begin, Use and Run are for the one
// who puts configurations in force, the rest for the uplink.
type Manager struct {
	path string
	log  *slog.Logger

	parts Parts // set by Use, before anything of that run

	came  chan struct{} // a configuration was taken
	ready chan struct{} // a session was welcomed

	mu      sync.Mutex
	kept    kept
	unfit   bool                   // Current could not be put in force
	desired *gateway.DesiredConfig // taken, not looked at yet
	unread  bool                   // the file cannot be read now: nothing is decided, and it is not written
}

// Open reads the file at path. One that makes no sense is told and set aside,
// and the board's own files count then. They count too while the file is there
// and cannot be read: Run tries that again.
func Open(path string, log *slog.Logger) *Manager {
	k := &Manager{path: path, log: log, came: make(chan struct{}, 1), ready: make(chan struct{}, 1)}
	if err := load(path, &k.kept); errors.Is(err, errUnread) {
		k.unread = true
		log.Error("the configuration that the cloud gave is not in force, and the board's own file counts until it can be read", "error", err)
	} else if err != nil {
		log.Error("the configuration that the cloud gave cannot be read; the board's own file counts until the cloud sends it again",
			"error", err)
	}
	return k
}

// Begin gives what is to be put in force now; nil is the board's own files.
// That a trial begins is noted first, so that one which kills the process
// does not do so for ever.
func (k *Manager) Begin() (d *gateway.DesiredConfig, onTrial bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if t := k.kept.Trial; t != nil {
		if t.Starts++; t.Starts > startsMost {
			k.rollBackLocked(fmt.Sprintf("the gateway was started %d times with it, and none was confirmed", startsMost))
		} else {
			k.saveLocked()
			return &t.DesiredConfig, true
		}
	}
	if k.unfit {
		return nil, false
	}
	return k.kept.Current, false
}

// Failed says that what Begin gave cannot be put in force. A trial is rolled
// back; after anything else the board's own files are used.
func (k *Manager) Failed(err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.kept.Trial != nil {
		k.rollBackLocked(fmt.Sprintf("it cannot be put in force: %v", err))
		return
	}
	k.unfit = true
	k.log.Error("the configuration that the cloud gave no longer fits; the board's own file counts", "error", err)
}

// Confirmed gives the configuration that was confirmed last, which a trial is
// compared with; nil is the board's own files.
func (k *Manager) Confirmed() *gateway.DesiredConfig {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.unfit {
		return nil
	}
	return k.kept.Current
}

// Use begins a run with what Begin gave. A session of the run before proves
// nothing about this one.
func (k *Manager) Use(p Parts) {
	k.parts = p
	select {
	case <-k.ready:
	default:
	}
}

// Take implements uplink.Configurer: of several that come at once the last
// counts.
func (k *Manager) Take(d gateway.DesiredConfig) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.desired = &d
	signal(k.came)
}

// Applied implements uplink.Configurer.
func (k *Manager) Applied() (ver uint64, hash string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case k.kept.Trial != nil:
		return k.kept.Trial.Ver, k.kept.Trial.Hash
	case k.kept.Current != nil && !k.unfit:
		return k.kept.Current.Ver, k.kept.Current.Hash
	}
	return 0, ""
}

// Ready implements uplink.Configurer.
func (k *Manager) Ready() { signal(k.ready) }

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Run tells what is not told yet, confirms a trial or rolls it back, and takes
// configurations, until ctx is done or, with ErrRestart, another one is to be
// put in force.
func (k *Manager) Run(ctx context.Context) error {
	k.tell()
	k.mu.Lock()
	onTrial, wait := k.kept.Trial != nil, defaultConfirm
	if onTrial && k.kept.Trial.Confirm > 0 {
		wait = k.kept.Trial.Confirm
	}
	k.mu.Unlock()
	if onTrial && !k.parts.Confirm {
		k.confirm()
		onTrial = false
	}
	every := min(probeEvery, wait/4)
	probe := time.NewTicker(every)
	defer probe.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-k.came:
			if k.takeUp() {
				return ErrRestart
			}
		case <-k.ready:
			if onTrial {
				k.confirm()
				onTrial = false
			}
		case <-probe.C:
			if k.reread() {
				return ErrRestart
			}
			if !onTrial || !k.parts.Reachable(ctx) {
				continue
			}
			if wait -= every; wait <= 0 && ctx.Err() == nil {
				k.giveUp()
				return ErrRestart
			}
		}
	}
}

// reread tries a file again that could not be read, and tells whether it holds
// what is to be put in force. What came meanwhile is looked at now.
func (k *Manager) reread() (restart bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.unread {
		return false
	}
	err := load(k.path, &k.kept)
	if errors.Is(err, errUnread) {
		return false
	}
	k.unread = false
	if err != nil {
		k.log.Error("the configuration that the cloud gave makes no sense; the board's own file counts until the cloud sends it again",
			"error", err)
	} else {
		k.log.Info("the configuration that the cloud gave can be read again")
	}
	if k.desired != nil {
		signal(k.came)
	}
	return k.kept.Current != nil || k.kept.Trial != nil
}

// takeUp looks at a configuration that came, and tells whether it is to be
// tried.
func (k *Manager) takeUp() (restart bool) {
	k.mu.Lock()
	d := k.desired
	if k.unread { // what was decided before is not known: it waits
		d = nil
	} else {
		k.desired = nil
	}
	k.mu.Unlock()
	if d == nil {
		return false
	}
	if known, outcome := k.known(*d); known {
		k.parts.Tell(outcome)
		return false
	}
	sum := sha256.Sum256([]byte(d.Doc))
	err := errors.New("the document does not have the hash that was sent with it")
	if hex.EncodeToString(sum[:]) == d.Hash {
		err = k.parts.Check(*d)
	}
	if err == nil {
		restart, err = k.stage(*d)
	}
	if err != nil {
		k.log.Warn("a configuration from the cloud was rejected", "version", d.Ver, "why", err)
		k.refuse(*d, err)
		k.tell()
	}
	return restart
}

// known gives the outcome of a configuration that was decided on before.
func (k *Manager) known(d gateway.DesiredConfig) (bool, gateway.ConfigOutcome) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if c := k.kept.Current; c != nil && c.Hash == d.Hash && !k.unfit && k.kept.Trial == nil {
		r := k.kept.Refused
		again := r != nil && r.Ver == d.Ver // another document under this number was refused, and is not wanted any more
		if again {
			k.kept.Refused = nil
		}
		if c.Ver != d.Ver || again {
			c.Ver = d.Ver
			k.saveLocked()
		}
		return true, gateway.ConfigOutcome{Ver: d.Ver, Hash: d.Hash, State: gateway.ConfigApplied}
	}
	if r := k.kept.Refused; r != nil && r.Hash == d.Hash && r.Ver == d.Ver {
		return true, *r
	}
	return false, gateway.ConfigOutcome{}
}

// saveLocked writes what is kept. A failure is told: what is in force does not
// change by it, and the next start begins where the file stands.
func (k *Manager) saveLocked() {
	if err := k.writeLocked(); err != nil {
		k.log.Error("what became of the cloud's configuration cannot be noted", "error", err)
	}
}
