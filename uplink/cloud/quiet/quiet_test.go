package quiet

import (
	"bytes"
	"log"
	"testing"
)

func TestOneLineIsDroppedAndEveryOtherKept(t *testing.T) {
	if _, ok := log.Writer().(filter); !ok || !set {
		t.Fatalf("the standard logger writes to %T", log.Writer())
	}
	var got bytes.Buffer
	l := log.New(filter{&got}, "", 0)
	l.Print("INFO: metrics: disable exposing PSI metrics because of failed init: open /sys/fs/cgroup/cpu.pressure: no such file or directory")
	l.Print("ERROR: metrics: cannot expose PSI metrics: gone")
	l.Print("http: superfluous response.WriteHeader call")
	if want := "ERROR: metrics: cannot expose PSI metrics: gone\nhttp: superfluous response.WriteHeader call\n"; got.String() != want {
		t.Errorf("got %q, want %q", got.String(), want)
	}
}
