package local

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"

	"github.com/fieldgate/fieldgate/gateway/health"
)

const (
	listenFirst  = time.Second      // after a failure listening is tried again, …
	listenMost   = 10 * time.Second // … each time later, up to this
	listenWithin = 10 * time.Second // for a name to be resolved
	silentFor    = 5                // seconds that a client may be silent before the server hears of it
)

// conditionDown says that the page and the API are not served.
const conditionDown = "local_down"

// open listens on the address of the options, again and again until that
// works; nil when ctx is done. It tells a failure once.
func (s *Server) open(ctx context.Context) net.Listener {
	for pause := listenFirst; ctx.Err() == nil; pause = min(2*pause, listenMost) {
		l, err := s.listen(ctx)
		if err == nil {
			s.keepListener(l)
			s.o.Conditions.Clear(conditionDown, "", "The page on site and its API are served on "+l.Addr().String()+".")
			return l
		}
		if ctx.Err() != nil {
			return nil
		}
		s.o.Conditions.Raise(conditionDown, "", health.Error, downSentence(s.o.Listen, err))
		wait(ctx, pause)
	}
	return nil
}

func (s *Server) listen(ctx context.Context) (net.Listener, error) {
	ctx, cancel := context.WithTimeout(ctx, listenWithin)
	defer cancel()
	lc := net.ListenConfig{KeepAlive: -1, Control: acceptWhenAsked} // WebSockets have pings, the rest has time limits
	l, err := lc.Listen(ctx, "tcp", s.o.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", s.o.Listen, err)
	}
	return l, nil
}

// acceptWhenAsked has the kernel keep a connection to itself until the client
// says something, or for silentFor (TCP_DEFER_ACCEPT, tcp(7)): who is silent
// costs no file and no work here. Without it the bounds alone hold.
func acceptWhenAsked(_, _ string, c syscall.RawConn) error {
	return c.Control(func(fd uintptr) {
		_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_DEFER_ACCEPT, silentFor)
	})
}

// wait lasts for d, or until ctx is done.
func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// needsNoName reports whether listening on addr asks no name server, so that
// it is done at once.
func needsNoName(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil || host == "" {
		return err == nil
	}
	_, err = netip.ParseAddr(host)
	return err == nil
}

// downSentence says why there is no page, and what to do.
func downSentence(addr string, err error) string {
	why, remedy := listenFailure(err)
	return fmt.Sprintf("The page on site and its API are not served: the address %s of the setting [local] listen %s. "+
		"Readings are taken, kept and sent all the same. %s It is tried again every ten seconds.", addr, why, remedy)
}

// listenFailure classifies what listening can fail with.
func listenFailure(err error) (why, remedy string) {
	var dns *net.DNSError
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return "is in use by another program", "Stop that program (to find it: ss -ltnp), or set another address."
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return "is not one of this board at present", "Bring its network up, or set an address of this board; :PORT stands for all of them."
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		return "is not allowed to fieldgate", "Set a port from 1024 on: lower ones belong to the system."
	case errors.Is(err, syscall.ENETDOWN), errors.Is(err, syscall.ENODEV), errors.Is(err, syscall.ENXIO):
		return "belongs to a network that is down", "Bring that network up, or set another address."
	case errors.As(err, &dns):
		return "has a name for which no address is found", "Write the address in figures, or put the name into /etc/hosts."
	case shortOfFiles(err):
		return "cannot be opened, because too many files are open", "If this lasts, restart fieldgate."
	}
	return fmt.Sprintf("cannot be listened on (%v)", err), "Set another address."
}

// shortOfFiles holds for errors that pass when other files are closed.
func shortOfFiles(err error) bool {
	for _, e := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// A patientListener lets a server outlive a shortage of files, which it tells
// once. Another error is the end of this listener, but not of the server.
type patientListener struct {
	net.Listener
	told bool // owned by Accept
	s    *Server
}

// shortage is an error after which net/http tries again, a second later at most.
type shortage struct{ error }

func (shortage) Timeout() bool   { return false }
func (shortage) Temporary() bool { return true }

func (l *patientListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	switch {
	case err == nil && l.told:
		l.told = false
		l.s.o.Conditions.Clear(conditionDown, "", "Connections to the page on site are taken again.")
	case err != nil && shortOfFiles(err):
		l.told = true
		l.s.o.Conditions.Raise(conditionDown, "", health.Error,
			"New connections to the page on site are not taken, because the board or fieldgate has too many files open. "+
				"Readings are taken, kept and sent all the same. It is tried again every second; if this lasts, restart fieldgate.")
		err = shortage{err}
	}
	return c, err
}
