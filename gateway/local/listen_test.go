package local

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fieldgate/fieldgate/gateway/health"
)

// until waits for something that other goroutines bring about.
func until(t *testing.T, table *health.Table, holds func([]health.Condition) bool) {
	t.Helper()
	for {
		changed := table.Changed()
		if holds(table.List()) {
			return
		}
		<-changed
	}
}

// A port that another program has is told once, as a condition and in the log,
// and taken when it is free.
func TestPortInUseIsTakenWhenItIsFree(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o, log := options()
	o.Listen, o.Conditions = taken.Addr().String(), health.New(o.Log)
	serve(t, New(o))
	until(t, o.Conditions, func(list []health.Condition) bool { return len(list) == 1 })
	c := o.Conditions.List()[0]
	for _, want := range []string{o.Listen, "[local] listen", "in use by another program", "Readings are taken", "Stop that program"} {
		if c.Code != conditionDown || !strings.Contains(c.Sentence, want) {
			t.Errorf("condition %+v, want %s with %q", c, conditionDown, want)
		}
	}
	_ = taken.Close()
	until(t, o.Conditions, func(list []health.Condition) bool { return len(list) == 0 })
	if status, _, _ := request(t, "http://"+o.Listen+"/healthz"); status != http.StatusOK {
		t.Errorf("status %d when the port is free", status)
	}
	if n := strings.Count(log.String(), conditionDown); n != 2 {
		t.Errorf("the log tells it %d times, want at the begin and at the end:\n%s", n, log)
	}
}

// No address keeps the server from running, nor from ending.
func TestAddressesThatCannotBeListenedOn(t *testing.T) {
	for listen, want := range map[string]string{
		"192.0.2.77:8080":           "not one of this board at present", // RFC 5737
		"gateway.invalid:8080":      "has a name for which no address is found",
		"256.0.0.1:80":              "",
		"[fe80::1%nothing0]:8080":   "",
		"127.0.0.1:99999":           "",
		"no address at all":         "",
		"127.0.0.1:no-such-service": "",
	} {
		o, log := options()
		o.Listen, o.Conditions = listen, health.New(o.Log)
		stop := serve(t, New(o))
		until(t, o.Conditions, func(list []health.Condition) bool { return len(list) == 1 })
		if c := o.Conditions.List()[0]; c.Code != conditionDown || !strings.Contains(c.Sentence, listen) || !strings.Contains(c.Sentence, want) {
			t.Errorf("%s: %+v, want %q", listen, c, want)
		}
		stop()
		if n := strings.Count(log.String(), "\n"); n != 1 {
			t.Errorf("%s: %d lines, want one:\n%s", listen, n, log)
		}
	}
}

func TestWhyListeningFails(t *testing.T) {
	for err, want := range map[error]string{
		syscall.EADDRINUSE: "another program", syscall.EADDRNOTAVAIL: "not one of this board", syscall.EACCES: "not allowed",
		syscall.ENODEV: "down",
		syscall.EMFILE: "too many files", &net.DNSError{}: "no address is found", syscall.EINVAL: "invalid argument",
	} {
		wrapped := fmt.Errorf("listen: %w", &net.OpError{Op: "listen", Err: err})
		if got := downSentence(":80", wrapped); !strings.Contains(got, want) {
			t.Errorf("%v: %s, want %q", err, got, want)
		}
	}
}

// A scripted listener fails in the given ways, then works.
type scripted struct {
	*pipeListener
	errs chan error
}

func (l *scripted) Accept() (net.Conn, error) {
	select {
	case err := <-l.errs:
		return nil, &net.OpError{Op: "accept", Err: err}
	default:
		return l.pipeListener.Accept()
	}
}

// A shortage of files is told once and outlived.
func TestShortageOfFilesIsOutlived(t *testing.T) {
	o, log := options()
	o.Conditions = health.New(o.Log)
	synctest.Test(t, func(t *testing.T) {
		s, l := newServer(o), &scripted{newPipeListener(), make(chan error, 20)}
		for _, err := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.EMFILE} {
			l.errs <- err
		}
		s.listener = l
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx) }()
		synctest.Wait()
		if list := o.Conditions.List(); len(list) != 1 || list[0].Code != conditionDown || !strings.Contains(list[0].Sentence, "too many files") {
			t.Errorf("the conditions are %+v", list)
		}
		conn := l.dial(t)
		read(t, conn)
		if list := o.Conditions.List(); len(list) != 0 {
			t.Errorf("after the shortage the conditions are %+v", list)
		}
		_ = conn.Close()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	if n := strings.Count(log.String(), conditionDown); n != 2 {
		t.Errorf("the log tells it %d times, want 2:\n%s", n, log)
	}
}

// A listener that dies is replaced.
func TestListenerThatDiesIsReplaced(t *testing.T) {
	o, _ := options()
	o.Conditions = health.New(o.Log)
	s, l := newServer(o), &scripted{newPipeListener(), make(chan error, 1)}
	l.errs <- errors.New("the socket is gone")
	s.listener = l
	serve(t, s)
	until(t, o.Conditions, func(list []health.Condition) bool { return len(list) == 1 })
	until(t, o.Conditions, func(list []health.Condition) bool { return len(list) == 0 })
	if status, _, _ := request(t, "http://"+s.Addr()+"/healthz"); status != http.StatusOK {
		t.Errorf("status %d on the new listener", status)
	}
}

// A client that takes nothing holds up the end for two seconds, not for ten:
// the store's orderly end comes after it.
func TestStuckClientDoesNotHoldUpTheEnd(t *testing.T) {
	o, _ := options()
	synctest.Test(t, func(t *testing.T) {
		s, l := newServer(o), newPipeListener()
		s.listener = l
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx) }()
		stuck := l.dial(t)
		defer stuck.Close()
		synctest.Wait()
		begin := time.Now()
		cancel()
		<-done
		if took := time.Since(begin); took > 2*stopGrace {
			t.Errorf("the end took %v", took)
		}
	})
}
