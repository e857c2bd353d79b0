package keyring

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fieldgate/fieldgate/uplink/cloud/cloudtest"
)

var errPower = errors.New("power failed")

// Whatever step of an enrolment fails, done or not: the same request, sent
// again, ends with one token that is valid.
func TestRedeemIsFinishedByTheNextRequest(t *testing.T) {
	for step := range 2 {
		for _, done := range []bool{false, true} {
			kv := &cloudtest.KV{}
			c := Credentials{KV: kv}
			token, err := c.AddOnce("g", time.Hour)
			if err != nil {
				t.Fatal(err)
			}
			puts := 0
			kv.Fault = func() (bool, error) {
				if puts++; puts == step+1 {
					return done, errPower
				}
				return true, nil
			}
			q := Enrollment{Token: token, InstallID: "0a"}
			if _, err := c.Redeem(q, nil); !errors.Is(err, errPower) {
				t.Fatalf("step %d: %v", step, err)
			}
			g, err := c.Redeem(q, nil)
			if err != nil {
				t.Fatalf("step %d, done %v: %v", step, done, err)
			}
			id, hash, err := Split(g.Token)
			if err == nil {
				err = c.Check(id, hash)
			}
			if err != nil {
				t.Errorf("step %d, done %v: %q: %v", step, done, g.Token, err)
			}
			if again, err := c.Redeem(q, nil); err != nil || again.Token != g.Token {
				t.Errorf("step %d: asked again: %v, %v", step, again, err)
			}
		}
	}
}

// The same answer may be asked for ten minutes long; then the token is gone.
func TestRedeemTenMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := Credentials{KV: &cloudtest.KV{}}
		token, err := c.AddOnce("g", time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		q := Enrollment{Token: token, InstallID: "0a"}
		time.Sleep(59 * time.Second)
		if _, err := c.Redeem(q, nil); err != nil {
			t.Fatal(err)
		}
		time.Sleep(onceRepeat)
		if _, err := c.Redeem(q, nil); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Second)
		if _, err := c.Redeem(q, nil); !errors.Is(err, ErrCredential) {
			t.Errorf("after ten minutes: %v", err)
		}
		c.Sweep()
		for doc := range c.KV.List(t.Context(), "token") {
			t.Errorf("%s is kept: %s", doc.Key, doc.Body)
		}
	})
}

// Who was removed does not come back with the one-time token that it had, used
// or not; those of others stay.
func TestRemovedWithItsTokens(t *testing.T) {
	for _, c := range []Credentials{{KV: &cloudtest.KV{}}, {Dir: t.TempDir()}} {
		var tokens []string
		for _, id := range []string{"g", "g", "h"} {
			token, err := c.AddOnce(id, time.Hour)
			if err != nil {
				t.Fatal(err)
			}
			tokens = append(tokens, token)
		}
		used := Enrollment{Token: tokens[0], InstallID: "0a"}
		if _, err := c.Redeem(used, nil); err != nil {
			t.Fatal(err)
		}
		if err := c.Remove("g"); err != nil {
			t.Fatal(err)
		}
		for _, q := range []Enrollment{used, {Token: tokens[1]}} {
			if g, err := c.Redeem(q, nil); !errors.Is(err, ErrCredential) {
				t.Errorf("a removed gateway is let in again: %+v, %v", g.GatewayID, err)
			}
		}
		if _, err := c.Read("g"); !errors.Is(err, ErrUnknownGateway) {
			t.Errorf("afterwards: %v", err)
		}
		if _, err := c.Redeem(Enrollment{Token: tokens[2]}, nil); err != nil {
			t.Errorf("another gateway: %v", err)
		}
	}
}
