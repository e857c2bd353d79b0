package cloud_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// put puts a configuration, and gives its version.
func (s *site) put(query, doc string) wire.ConfigState {
	s.t.Helper()
	status, text := ask(s, s.http, "PUT", "/v1/gateways/"+s.id+"/config"+query, doc)
	var c wire.ConfigState
	if err := json.Unmarshal(text, &c); err != nil || status != http.StatusOK {
		s.t.Fatalf("%d %s (%v)", status, text, err)
	}
	return c
}

// configs gives what is desired and what was reported.
func (s *site) configs() (c struct {
	Desired  *struct{ wire.Config }
	Reported *struct {
		wire.Reported
		At time.Time
	}
}) {
	s.t.Helper()
	status, text := ask(s, s.http, "GET", "/v1/gateways/"+s.id+"/config", "")
	if err := json.Unmarshal(text, &c); err != nil || status != http.StatusOK {
		s.t.Fatalf("%d %s (%v)", status, text, err)
	}
	return c
}

// hello opens a session of a gateway that can be configured.
func (s *site) hello(in *wire.ConfigState) (*peer, *wire.Welcome) {
	s.t.Helper()
	p := s.dial()
	p.send(&wire.Hello{GatewayID: s.id, All: true, Software: "test", Caps: []string{"config"}, Cfg: in})
	return p, recv[*wire.Welcome](p)
}

func hashOf(doc string) string {
	sum := sha256.Sum256([]byte(doc))
	return hex.EncodeToString(sum[:])
}

// A configuration reaches a gateway when it connects, or at once; one that it
// runs by already, or has refused, is not sent again.
func TestConfigIsSentAndReported(t *testing.T) {
	s := newSite(t, nil)
	const doc = "version = 1\n"
	if got := s.configs(); got.Desired != nil || got.Reported != nil {
		t.Errorf("at first there is %+v", got)
	}
	p, w := s.hello(nil)
	if w.Cfg != nil {
		t.Errorf("welcome says %+v", w.Cfg)
	}
	p.conn.Close()
	if c := s.put("?confirm_s=60", doc); c.Ver != 1 || c.Hash != hashOf(doc) {
		t.Errorf("put gives %+v", c)
	}
	if c := s.put("?confirm_s=60", doc); c.Ver != 1 {
		t.Errorf("the same again is version %d", c.Ver)
	}
	p, w = s.hello(nil)
	if w.Cfg == nil || w.Cfg.Ver != 1 || w.Cfg.Hash != hashOf(doc) {
		t.Errorf("welcome says %+v", w.Cfg)
	}
	if m := recv[*wire.Config](p); m.Ver != 1 || m.Doc != doc || m.Hash != hashOf(doc) || m.ConfirmS != 60 {
		t.Errorf("got %+v", m)
	}
	p.send(&wire.Reported{Ver: 1, Hash: hashOf(doc), State: "applied"})
	s.untilReported(1, "applied")

	// Another one goes out at once, and a report as event counts too.
	s.put("", doc+"# 2\n")
	if m := recv[*wire.Config](p); m.Ver != 2 || m.ConfirmS != 0 {
		t.Errorf("got %+v", m)
	}
	body, err := json.Marshal(gateway.ConfigOutcome{Ver: 2, Hash: hashOf(doc + "# 2\n"), State: gateway.ConfigRejected,
		Errors: []string{"one", "two"}})
	if err != nil {
		t.Fatal(err)
	}
	p.send(&wire.Event{Epoch: gateway.NewEpochID(), Seq: 1, Kind: gateway.EventConfig, Body: body, Anchor: wireAnchor})
	s.untilReported(2, "rejected")
	if got := s.configs().Reported; len(got.Errors) != 2 || got.At.IsZero() {
		t.Errorf("reported is %+v", got)
	}
	p.send(&wire.Reported{Ver: 1, Hash: hashOf(doc), State: "applied"}) // late
	p.conn.Close()

	// It is not sent again, until somebody wants it tried once more.
	p, _ = s.hello(&wire.ConfigState{Ver: 1, Hash: hashOf(doc)})
	if c := s.put("?again=true", doc+"# 2\n"); c.Ver != 3 {
		t.Errorf("put gives %+v", c)
	}
	if m := recv[*wire.Config](p); m.Ver != 3 {
		t.Errorf("got %+v", m)
	}
	if got := s.configs().Reported; got.Ver != 2 || got.State != "rejected" {
		t.Errorf("reported is %+v", got)
	}
}

func (s *site) untilReported(ver uint64, state string) {
	s.t.Helper()
	for began := time.Now(); ; {
		if r := s.configs().Reported; r != nil && r.Ver == ver && r.State == state {
			return
		}
		if time.Since(began) > answerWithin {
			s.t.Fatalf("reported is %+v", s.configs().Reported)
		}
	}
}

func TestConfigsThatAreNone(t *testing.T) {
	s := newSite(t, nil)
	for path, body := range map[string]string{
		"/v1/gateways/nobody/config":                       "version = 1",
		"/v1/gateways/" + s.id + "/config?confirm_s=0":     "version = 1",
		"/v1/gateways/" + s.id + "/config?confirm_s=86401": "version = 1",
		"/v1/gateways/" + s.id + "/config":                 "",
		"/v1/gateways/" + s.id + "/config?confirm_s=1":     "\xff",
		"/v1/gateways/" + s.id + "/config?confirm_s=2":     strings.Repeat("#", wire.MaxConfigDoc+1),
	} {
		if status, text := ask(s, s.http, "PUT", path, body); status < 400 || status >= 500 {
			t.Errorf("%s: %d %s", path, status, text)
		}
	}
	if got := s.configs(); got.Desired != nil {
		t.Errorf("kept: %+v", got)
	}
}
