package cloud

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"github.com/fieldgate/fieldgate/uplink/cloud/cloudtest"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// Who is told of a credential that ends looks among the sessions that have
// opened: one that takes its time to say hello is found all the same.
func TestRevokedWhileASessionOpens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, dial := piped(t, Options{Log: &cloudtest.Log{}})
		var watching sync.WaitGroup
		watching.Go(s.recheck)
		conn := dial()
		time.Sleep(recheckEvery)
		if err := s.opt.Credentials.Remove("g"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(helloWithin - recheckEvery - 100*time.Millisecond)
		say(t, conn, &wire.Hello{GatewayID: "g"})
		hear[*wire.Welcome](t, conn)
		begin := time.Now()
		_, _, err := conn.ReadMessage()
		if !websocket.IsCloseError(err, wire.CloseForbidden) || time.Since(begin) > 5*time.Second {
			t.Errorf("after %s: %v", time.Since(begin), err)
		}
		s.Close()
		watching.Wait()
	})
}
