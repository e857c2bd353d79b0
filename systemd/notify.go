// Package systemd tells the service manager how far the daemon is (sd_notify(3)) and writes its log the way
// the manager's journal wants it (sd-daemon(3)). Without a service manager both fall back to what a person at
// a terminal expects: notifications go nowhere, the log is plain text.
package systemd

import (
	"fmt"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// Ready says that the daemon samples and stores: the unit becomes active. status is one line for people, shown
// by `systemctl status`. It is nil without a service manager; an error means that the manager did not hear it
// and will end the unit when its start timeout runs out.
func Ready(status string) error {
	return notify(daemon.SdNotifyReady + "\n" + statusLine(status))
}

// Status replaces the line that `systemctl status` shows. The line is for people only and the next one replaces
// it, so a failure to deliver it is not reported.
func Status(status string) {
	_ = notify(statusLine(status))
}

// Alive feeds the watchdog of the unit (WatchdogSec=), if it has one. Whoever does not do so in time is ended and
// started again, so a failure to deliver it needs no other report.
func Alive() {
	_ = notify(daemon.SdNotifyWatchdog)
}

// Stopping says that an orderly stop has begun. The manager sees the end of the process anyway, so a failure to
// deliver it is not reported.
func Stopping() {
	_ = notify(daemon.SdNotifyStopping)
}

// notifyWithin bounds how long a manager may keep the daemon waiting.
const notifyWithin = 2 * time.Second

// notifying is held while the manager is being told something.
var notifying = make(chan struct{}, 1)

// notify keeps NOTIFY_SOCKET in the environment: whoever unsets it at READY has no watchdog and no status later. A
// manager that stands still is given up after a while, and not told more until it goes on.
func notify(state string) error {
	late := time.NewTimer(notifyWithin)
	defer late.Stop()
	select {
	case notifying <- struct{}{}:
	case <-late.C:
		return errManagerHangs
	}
	told := make(chan error, 1)
	go func() {
		defer func() { <-notifying }()
		_, err := daemon.SdNotify(false, state)
		told <- err
	}()
	select {
	case err := <-told:
		if err != nil {
			return fmt.Errorf("notify the service manager: %w", err)
		}
		return nil
	case <-late.C:
		return errManagerHangs
	}
}

var errManagerHangs = fmt.Errorf("notify the service manager: it takes nothing for %v", notifyWithin)

// statusLine keeps a line break in s from starting an assignment of its own, such as MAINPID=.
func statusLine(s string) string {
	return "STATUS=" + strings.Join(strings.Fields(s), " ")
}
