package gateway_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
)

func TestEpochIDIsHexInJSON(t *testing.T) {
	e := gateway.NewEpochID()
	text, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	if len(text) != 34 || string(text[1:33]) != e.String() {
		t.Errorf("epoch in JSON is %s", text)
	}
	var back gateway.EpochID
	if err := json.Unmarshal(text, &back); err != nil || back != e {
		t.Errorf("read back %v, %v; want %v", back, err, e)
	}
	for _, bad := range []string{`""`, `"00"`, `"` + strings.Repeat("g", 32) + `"`, `"` + strings.Repeat("0", 33) + `"`} {
		if err := json.Unmarshal([]byte(bad), &back); err == nil {
			t.Errorf("%s was taken for an epoch", bad)
		}
	}
}

func TestTwoEpochsAreNeverTheSame(t *testing.T) {
	if gateway.NewEpochID() == gateway.NewEpochID() {
		t.Error("the same epoch was drawn twice")
	}
}

func TestValidID(t *testing.T) {
	for id, want := range map[string]bool{
		"plant-7": true, "a": true, "A_z-09": true, strings.Repeat("x", 64): true,
		"": false, strings.Repeat("x", 65): false, "a.b": false, "a b": false, "a*": false, ">": false, "ä": false, "a/b": false, "a\n": false,
	} {
		if got := gateway.ValidID(id); got != want {
			t.Errorf("ValidID(%q) = %v", id, got)
		}
	}
}

func TestAnchorTurnsStampsIntoWallTime(t *testing.T) {
	boot := time.Date(2026, 11, 23, 6, 0, 0, 0, time.UTC)
	a := gateway.Anchor{Offset: boot.UnixMicro()}
	at := gateway.Stamp(0).Add(90 * time.Second)
	if got := a.Wall(at); !got.Equal(boot.Add(90 * time.Second)) {
		t.Errorf("90 s after boot is %v", got)
	}
	if d := at.Sub(0); d != 90*time.Second {
		t.Errorf("difference is %v", d)
	}
}

func TestNamesOnTheWire(t *testing.T) {
	for want, got := range map[string]string{
		"good": gateway.Good.String(), "simulated": gateway.Simulated.String(), "out_of_range": gateway.OutOfRange.String(),
		"ntp": gateway.ClockNTP.String(), "none": gateway.ClockNone.String(), "unknown": gateway.Quality(99).String(),
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if last := (gateway.Range{First: 5, N: 3}).Last(); last != 7 {
		t.Errorf("last of 5+3 is %d", last)
	}
}

func TestZonesStandInNoCertificate(t *testing.T) {
	for host, want := range map[string]string{
		"fe80::1%eth0": "fe80::1", "FE80::1%25eth0": "fe80::1", "fe80::1": "fe80::1", "192.0.2.1": "192.0.2.1",
		"cloud.example.com": "cloud.example.com", "a%b": "a%b", "": "",
	} {
		if got := gateway.CertificateName(host); got != want {
			t.Errorf("%q: %q, want %q", host, got, want)
		}
	}
}
