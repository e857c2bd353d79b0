package cloud

import "testing"

// As many clients as there may be, and one more for each that goes; none once
// the server stops.
func TestLiveClientsAreCounted(t *testing.T) {
	s := inMemory(Options{})
	for n := range maxLiveClients + 2 {
		if got := s.admitLive(); got != (n < maxLiveClients) {
			t.Fatalf("client %d: %v", n+1, got)
		}
	}
	s.dismissLive()
	if !s.admitLive() || s.admitLive() {
		t.Error("for one that went not one comes in")
	}
	for range maxLiveClients {
		s.dismissLive()
	}
	s.Close()
	if s.admitLive() {
		t.Error("let in by a server that stops")
	}
}
