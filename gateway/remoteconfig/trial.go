package remoteconfig

import (
	"errors"

	"github.com/fieldgate/fieldgate/gateway"
)

// stage notes a configuration as on trial, unless it is already. One that
// cannot be noted is not tried.
func (k *Manager) stage(d gateway.DesiredConfig) (restart bool, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	before := k.kept.Trial
	if before != nil && before.Hash == d.Hash {
		return false, nil
	}
	k.kept.Trial = &trial{DesiredConfig: d}
	if err := k.writeLocked(); err != nil {
		k.kept.Trial = before
		return false, err
	}
	k.log.Info("a configuration came from the cloud and is tried", "version", d.Ver)
	return true, nil
}

// confirm makes the trial what is in force from now on.
func (k *Manager) confirm() {
	k.mu.Lock()
	t := k.kept.Trial
	// One write says all of it. If power dies before it, the trial begins once more
	// at the next start.
	k.kept.Current, k.kept.Trial, k.kept.Refused, k.unfit = &t.DesiredConfig, nil, nil, false
	k.kept.Untold = &gateway.ConfigOutcome{Ver: t.Ver, Hash: t.Hash, State: gateway.ConfigApplied}
	k.saveLocked()
	k.log.Info("the cloud's configuration is in force", "version", t.Ver)
	// The lock is given back before it is told, because tell takes it.
	k.mu.Unlock()
	k.tell()
}

// giveUp rolls a trial back that got no session.
func (k *Manager) giveUp() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.rollBackLocked("with it the cloud was not reached in time, although the network works")
}

func (k *Manager) rollBackLocked(why string) {
	d := k.kept.Trial.DesiredConfig
	// What was confirmed before was never touched: it holds as soon as the trial is
	// gone. If power dies before the write below, the trial begins once more.
	k.kept.Trial = nil
	k.refuseLocked(d, gateway.ConfigRolledBack, errors.New(why))
	k.log.Warn("the cloud's configuration was rolled back", "version", d.Ver, "why", why)
}
