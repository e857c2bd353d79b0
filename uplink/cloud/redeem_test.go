package cloud

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var errPower = errors.New("power failed")

// Whatever step of an enrolment fails, done or not: the same request, sent
// again, ends with one token that is valid.
func TestRedeemIsFinishedByTheNextRequest(t *testing.T) {
	for step := range 2 {
		for _, done := range []bool{false, true} {
			shelf := &memShelf{}
			c := Credentials{KV: shelf}
			token, err := c.AddOnce("g", time.Hour)
			if err != nil {
				t.Fatal(err)
			}
			puts := 0
			shelf.fault = func() (bool, error) {
				if puts++; puts == step+1 {
					return done, errPower
				}
				return true, nil
			}
			q := enrollment{Token: token, InstallID: "0a"}
			if _, err := c.redeem(q, nil); !errors.Is(err, errPower) {
				t.Fatalf("step %d: %v", step, err)
			}
			g, err := c.redeem(q, nil)
			if err != nil {
				t.Fatalf("step %d, done %v: %v", step, done, err)
			}
			id, hash, err := split(g.Token)
			if err == nil {
				err = c.check(id, hash)
			}
			if err != nil {
				t.Errorf("step %d, done %v: %q: %v", step, done, g.Token, err)
			}
			if again, err := c.redeem(q, nil); err != nil || again.Token != g.Token {
				t.Errorf("step %d: asked again: %v, %v", step, again, err)
			}
		}
	}
}

// The same answer may be asked for ten minutes long; then the token is gone.
func TestRedeemTenMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := Credentials{KV: &memShelf{}}
		token, err := c.AddOnce("g", time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		q := enrollment{Token: token, InstallID: "0a"}
		time.Sleep(59 * time.Second)
		if _, err := c.redeem(q, nil); err != nil {
			t.Fatal(err)
		}
		time.Sleep(onceRepeat)
		if _, err := c.redeem(q, nil); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Second)
		if _, err := c.redeem(q, nil); !errors.Is(err, ErrCredential) {
			t.Errorf("after ten minutes: %v", err)
		}
		c.sweep()
		for doc := range c.KV.List(t.Context(), "token") {
			t.Errorf("%s is kept: %s", doc.Key, doc.Body)
		}
	})
}

// Who was removed does not come back with the one-time token that it had, used
// or not; those of others stay.
func TestRemovedWithItsTokens(t *testing.T) {
	for _, c := range []Credentials{{KV: &memShelf{}}, {Dir: t.TempDir()}} {
		var tokens []string
		for _, id := range []string{"g", "g", "h"} {
			token, err := c.AddOnce(id, time.Hour)
			if err != nil {
				t.Fatal(err)
			}
			tokens = append(tokens, token)
		}
		used := enrollment{Token: tokens[0], InstallID: "0a"}
		if _, err := c.redeem(used, nil); err != nil {
			t.Fatal(err)
		}
		if err := c.Remove("g"); err != nil {
			t.Fatal(err)
		}
		for _, q := range []enrollment{used, {Token: tokens[1]}} {
			if g, err := c.redeem(q, nil); !errors.Is(err, ErrCredential) {
				t.Errorf("a removed gateway is let in again: %+v, %v", g.GatewayID, err)
			}
		}
		if _, err := c.read("g"); !errors.Is(err, ErrUnknownGateway) {
			t.Errorf("afterwards: %v", err)
		}
		if _, err := c.redeem(enrollment{Token: tokens[2]}, nil); err != nil {
			t.Errorf("another gateway: %v", err)
		}
	}
}

// The trail folds what repeats, keeps a bounded number, and waits for nobody.
func TestTrailIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shelf := &memShelf{}
		s := New(Options{KV: shelf, Log: &memLog{}})
		for i := range 1000 {
			s.audit("auth_failed", "", "refused", "remote", fmt.Sprintf("192.0.2.1:%d", i))
		}
		if n := len(s.trail.queue); n != 1 {
			t.Errorf("%d entries of one attacker", n)
		}
		for i := range 10 * auditSame {
			s.audit("auth_failed", "", "refused", "remote", fmt.Sprintf("10.%d.%d.1:1", i/256, i%256))
		}
		if len(s.trail.same) > auditSame || len(s.trail.queue) != auditQueue {
			t.Errorf("%d are told apart, %d wait", len(s.trail.same), len(s.trail.queue))
		}
		for len(s.trail.queue) > 0 {
			s.trail.write(<-s.trail.queue)
		}
		time.Sleep(2 * auditFold)
		s.audit("auth_failed", "", "refused", "remote", "192.0.2.9:1")
		if e := <-s.trail.queue; e.Details["lost_before"] == "" {
			t.Errorf("%+v", e)
		}
		for i := range auditKept + 2*auditSlack {
			s.trail.write(AuditEntry{At: time.Now().Add(time.Duration(i)), Event: "x"})
		}
		if n := len(shelf.docs); n > auditKept+auditSlack+1 || n < auditKept {
			t.Errorf("%d entries are kept", n)
		}
	})
}

// What repeats is folded, but how often it came is told, also if it never comes
// again, and when the server ends.
func TestFoldedIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shelf := &memShelf{}
		s := New(Options{KV: shelf, Log: &memLog{}, Logger: slog.New(slog.DiscardHandler)})
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { s.trail.run(ctx) })
		counts := func() (list []int) {
			synctest.Wait()
			for doc, err := range shelf.List(t.Context(), "audit") {
				var e AuditEntry
				if err != nil || json.Unmarshal(doc.Body, &e) != nil {
					t.Fatal(err)
				}
				list = append(list, e.Count)
			}
			slices.Sort(list)
			return list
		}
		say := func(times int) {
			for range times {
				s.audit("enrolled", "g", "a gateway was enrolled", "remote", "192.0.2.1:1")
			}
		}
		say(1)
		time.Sleep(10 * auditFold)
		if got := counts(); !slices.Equal(got, []int{0}) {
			t.Errorf("entries of one: %v", got)
		}
		say(3)
		time.Sleep(10 * auditFold)
		if got := counts(); !slices.Equal(got, []int{0, 0, 2}) {
			t.Errorf("entries of one and three: %v", got)
		}
		say(2)
		stop()
		running.Wait()
		if got := counts(); !slices.Equal(got, []int{0, 0, 0, 1, 2}) {
			t.Errorf("entries at the end: %v", got)
		}
	})
}
