package main

import (
	"fmt"
	"time"

	"github.com/fieldgate/fieldgate/cmd/cli"
	"github.com/fieldgate/fieldgate/uplink/cloud"
)

const (
	alarmLeast = 10 * time.Second // that is how often the server looks
	epochsMost = 63               // the server remembers no more of a gateway
)

// alarmFlags say from when on an operator is to look.
type alarmFlags struct {
	BacklogAlarm  time.Duration `default:"1h" placeholder:"AGE" help:"Alarm when the oldest reading that a gateway holds and the cloud lacks is this old; of a gateway that is away, when it has been away so long."`
	ConsumerAlarm time.Duration `default:"5m" placeholder:"AGE" help:"Alarm when the oldest record that a consumer of the log (ledger, database) has not passed is this old."`
	EpochsAlarm   int           `default:"24" placeholder:"N" help:"Alarm when a gateway begins more than N epochs within 24 hours, at most 63: restarts, and outages after which a backlog is split off. -1: any number."`
}

// set puts the flags into options, or says which of them cannot be.
func (f alarmFlags) set(o *cloud.Options) error {
	switch {
	case f.BacklogAlarm < alarmLeast:
		return fmt.Errorf("%w: --backlog-alarm %s: want at least %s", cli.ErrUsage, f.BacklogAlarm, alarmLeast)
	case f.ConsumerAlarm < alarmLeast:
		return fmt.Errorf("%w: --consumer-alarm %s: want at least %s", cli.ErrUsage, f.ConsumerAlarm, alarmLeast)
	case f.EpochsAlarm < -1 || f.EpochsAlarm == 0 || f.EpochsAlarm > epochsMost:
		return fmt.Errorf("%w: --epochs-alarm %d: want 1 to %d, or -1", cli.ErrUsage, f.EpochsAlarm, epochsMost)
	}
	o.BacklogAlarm, o.ConsumerAlarm, o.EpochsAlarm = f.BacklogAlarm, f.ConsumerAlarm, f.EpochsAlarm
	return nil
}
