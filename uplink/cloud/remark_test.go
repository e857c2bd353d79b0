package cloud

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/cloud/cloudtest"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// A journal is what a server logged.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(b)
}

func (j *journal) count(part string) int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Count(j.text.String(), part)
}

// Whatever a gateway sends, and however often: the lines in the journal are
// few, and say how many there would have been.
func TestGatewayDoesNotFillTheJournal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, dial := piped(t, Options{Log: &cloudtest.Log{}})
		j := &journal{}
		s.opt.Logger = slog.New(slog.NewTextHandler(j, nil))
		e := gateway.NewEpochID()
		h := &wire.Hello{GatewayID: "g"}
		for range wire.MaxHelloEpochs - 1 { // all of which it says that we had
			h.Epochs = append(h.Epochs, wire.HelloEpoch{Epoch: gateway.NewEpochID(), Oldest: 1, Acked: 5})
		}
		conn := dial()
		say(t, conn, h)
		hear[*wire.Welcome](t, conn)
		const times = 100
		for range times {
			say(t, conn, &wire.Error{Code: "x"})
			say(t, conn, &wire.Update{Lane: wire.LaneLive, Epoch: e, First: 1, N: 1, Blocks: [][]byte{{1}}})
			hear[*wire.Nack](t, conn)
		}
		synctest.Wait()
		if n := j.count("gateway=g"); n < remarksAtOnce || n > remarksAtOnce+5 {
			t.Errorf("%d lines: %s", n, &j.text)
		}
		if n := j.count("lost readings that were acknowledged"); n != 1 {
			t.Errorf("%d lines of what the log has lost", n)
		}
		time.Sleep(remarkEvery)
		say(t, conn, &wire.Error{Code: "last"})
		synctest.Wait()
		if j.count(`code=last message="" left_out_before=190`) != 1 {
			t.Errorf("the last line does not say how many were left out: %s", &j.text)
		}
	})
}
