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
	BacklogAlarm  time.Duration `default:"1h" placeholder:"AGE" help:"Alarm when a gateway holds readings of this age that the cloud does not have, or when it has been away for so long."`
	ConsumerAlarm time.Duration `default:"5m" placeholder:"AGE" help:"Alarm when a consumer of the log (ledger, database) has not taken a record of this age."`
	EpochsAlarm   int           `default:"24" placeholder:"N" help:"Alarm when a gateway begins more than N epochs within 24 hours. It begins one at each start, and after a long outage. At most 63; -1: no alarm."`
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
