package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// takeHangUps passes on the SIGHUPs that people send; from now on none ends the
// process. One that comes because the terminal was closed (a window, an ssh
// connection) calls closed: nobody could end the demo any more, and its ports
// would stay taken.
func takeHangUps(ctx context.Context, terminal *os.File, closed func()) <-chan os.Signal {
	came, sent := make(chan os.Signal, 1), make(chan os.Signal, 1)
	signal.Notify(came, syscall.SIGHUP)
	go passHangUps(ctx, came, sent, terminal, closed)
	return sent
}

// passHangUps ends with ctx, or with the terminal.
func passHangUps(ctx context.Context, came chan os.Signal, sent chan<- os.Signal, terminal *os.File, closed func()) {
	defer signal.Stop(came)
	had := isTerminal(terminal)
	for {
		select {
		case <-ctx.Done():
			return
		case s := <-came:
			if had && !isTerminal(terminal) { // it answers EIO
				closed()
				return
			}
			passOn(sent, s)
		}
	}
}

// passOn does not wait: a signal that waits already says the same.
func passOn(sent chan<- os.Signal, s os.Signal) {
	select {
	case sent <- s:
	default:
	}
}
