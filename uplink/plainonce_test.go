package uplink_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/fieldgate/fieldgate/uplink"
)

// A limited server reads so many messages of each connection, and then ends it
// in its own way.
type limited struct {
	each int
	end  func(*websocket.Conn)
	deaf bool // to pings

	mu    sync.Mutex
	got   map[uint64]int
	lines int // connections
}

func (l *limited) serve(a http.ResponseWriter, r *http.Request) bool {
	ws, err := (&websocket.Upgrader{}).Upgrade(a, r, nil)
	if err != nil {
		return true
	}
	defer ws.Close()
	if l.deaf {
		ws.SetPingHandler(func(string) error { return nil })
	}
	l.mu.Lock()
	l.lines++
	l.mu.Unlock()
	for range l.each {
		_, text, err := ws.ReadMessage()
		var m struct{ Seq uint64 }
		if err != nil || json.Unmarshal(text, &m) != nil {
			return true
		}
		l.mu.Lock()
		l.got[m.Seq]++
		l.mu.Unlock()
	}
	l.end(ws)
	return true
}

// Whatever ends a line in the middle of what is sent, no reading comes twice,
// and no more are missing than the status says.
func TestPlainServerGetsNoReadingTwice(t *testing.T) {
	for name, end := range map[string]func(*websocket.Conn){
		"closes": func(ws *websocket.Conn) {
			_ = ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(1013, "slow down"), time.Now().Add(time.Second))
		},
		"resets":        func(ws *websocket.Conn) { _ = ws.NetConn().Close() },
		"stops reading": func(*websocket.Conn) { time.Sleep(10 * time.Minute) },
		"pauses": func(ws *websocket.Conn) {
			time.Sleep(3 * time.Second)
			_, _, _ = ws.ReadMessage()
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := &limited{each: 20, end: end, got: map[uint64]int{}}
			const all = 700
			inTestbed(t, func(w *testbed, o *uplink.Options) {
				o.Unacknowledged = true
				w.store.Append(all)
				w.cloud.OnUpgrade = l.serve
			}, func(w *testbed) {
				w.until(12*time.Hour, "all sent", func() bool { return w.store.All()[0].Acked == all })
				l.mu.Lock()
				l.each = 10 * all
				l.mu.Unlock()
				w.net.Cut() // so that the last line is settled too
				w.store.Append(1)
				w.until(12*time.Hour, "one more", func() bool { l.mu.Lock(); defer l.mu.Unlock(); return l.got[all+1] == 1 })
				w.pass(15 * time.Minute) // whoever sleeps there wakes up
				l.mu.Lock()
				defer l.mu.Unlock()
				for seq, n := range l.got {
					if n != 1 {
						t.Errorf("reading %d came %d times", seq, n)
					}
				}
				missing, said := uint64(all+1-len(l.got)), w.up.Status().PerhapsLost
				if missing > said || said > uint64(l.lines)*64 || missing > all/8 {
					t.Errorf("%d of %d readings are missing, %d are said to be perhaps lost (%d lines)", missing, all, said, l.lines)
				}
				if l.lines < 3 {
					t.Errorf("only %d lines: none was ended in the middle", l.lines)
				}
			})
		})
	}
}

// A server whose answer to the upgrade has no end is left alone before it has
// cost anything, in all ways in which the gateway speaks.
func TestAnswerToTheUpgradeWithoutAnEnd(t *testing.T) {
	const most = 64 << 20 // bytes that the test sends, if nobody stops it
	for mode, head := range map[string]string{
		"upgrade": "HTTP/1.1 101 Switching Protocols\r\n", "interim": "HTTP/1.1 103 Early Hints\r\n", "refusal": "HTTP/1.1 403 Forbidden\r\n",
		"body": "HTTP/1.1 403 Forbidden\r\nContent-Length: 99999999999\r\n\r\n", "one line": "HTTP/1.1 101 ",
		"no line": "", "folded": "HTTP/1.1 101 x\r\nA: b\r\n ",
	} {
		for _, plain := range []bool{false, true} {
			var mu sync.Mutex
			sent, ended := 0, false
			inTestbed(t, func(w *testbed, o *uplink.Options) {
				o.Unacknowledged = plain
				w.cloud.OnUpgrade = func(a http.ResponseWriter, _ *http.Request) bool {
					conn, _, err := http.NewResponseController(a).Hijack()
					if err != nil {
						return false
					}
					defer conn.Close()
					_, err = io.WriteString(conn, head)
					blob := strings.Repeat("X: "+strings.Repeat("y", 50)+"\r\n", 100)
					if mode == "one line" || mode == "no line" {
						blob = strings.Repeat("y", 5000)
					}
					for err == nil && sent < most {
						var n int
						n, err = io.WriteString(conn, blob)
						mu.Lock()
						sent += n
						mu.Unlock()
					}
					mu.Lock()
					ended = true
					mu.Unlock()
					return true
				}
			}, func(w *testbed) {
				w.until(time.Minute, "an end", func() bool { mu.Lock(); defer mu.Unlock(); return ended })
				mu.Lock()
				defer mu.Unlock()
				if sent > 4<<20 {
					t.Errorf("%s, plain %v: the gateway took %d KiB", mode, plain, sent>>10)
				}
				if s := w.up.Status(); s.State == uplink.Online {
					t.Error(errors.New(s.LastError))
				}
			})
		}
	}
}

// A server that answers no pings gets everything all the same.
func TestPlainServerThatAnswersNoPings(t *testing.T) {
	l := &limited{each: 1 << 20, got: map[uint64]int{}, deaf: true}
	inTestbed(t, func(w *testbed, o *uplink.Options) {
		o.Unacknowledged = true
		w.store.Append(700)
		w.cloud.OnUpgrade = l.serve
	}, func(w *testbed) {
		w.until(time.Minute, "all there", func() bool { l.mu.Lock(); defer l.mu.Unlock(); return len(l.got) == 700 })
		w.net.Cut()
		w.until(time.Minute, "told", func() bool { return w.up.Status().PerhapsLost == 700 })
	})
}
