package cloud_test

import (
	"context"
	"testing"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

func TestNewestSessionWins(t *testing.T) {
	s := newSite(t, nil)
	e := gateway.NewEpochID()
	older, w1 := s.open(e)
	older.acked(readings(t, e, 1, 3, 3))
	newer, w2 := s.open(e)
	if w2.Gen <= w1.Gen || w2.Epochs[0].Upto != 3 {
		t.Errorf("welcomed with gen %d after %d, %+v", w2.Gen, w1.Gen, w2.Epochs)
	}
	if code := older.closed(); code != wire.CloseSuperseded {
		t.Errorf("the older session was closed with %d", code)
	}
	older.conn.Close()
	newer.acked(readings(t, e, 4, 3, 3))
	if g := s.gateways()[0]; !g.Connected || g.Gen != w2.Gen {
		t.Errorf("after the older session ended: %+v", g)
	}
	s.wantSeqs(e, 6)
}

// A silentLog stores what it is given and then says nothing any more, like a
// server that is killed between storing and acknowledging.
type silentLog struct {
	record.Log
	dead chan struct{} // closed by the first update
}

func (l *silentLog) Append(ctx context.Context, id string, after uint64, r record.Record) (uint64, error) {
	seq, err := l.Log.Append(ctx, id, after, r)
	if r.Kind == record.KindOpen {
		return seq, err
	}
	close(l.dead)
	return 0, record.ErrUnavailable
}

func (l *silentLog) Last(ctx context.Context, id string) (record.Record, error) {
	select {
	case <-l.dead:
		return record.Record{}, record.ErrUnavailable
	default:
		return l.Log.Last(ctx, id)
	}
}

func TestCrashBetweenStoringAndAck(t *testing.T) {
	s := newSite(t, func(l record.Log) record.Log { return &silentLog{Log: l, dead: make(chan struct{})} })
	e := gateway.NewEpochID()
	p, _ := s.open(e)
	p.send(readings(t, e, 1, 5, 5))
	if m := recv[*wire.Ack](p); *m.Win != (wire.Windows{}) || m.Why != "storage" || len(m.Epochs) != 0 {
		t.Errorf("got %+v, want to be told of the trouble", m)
	}
	s.stop()
	s.start(nil)
	p, w := s.open(e)
	if w.Epochs[0].Upto != 5 {
		t.Errorf("welcomed with %+v", w.Epochs)
	}
	stored := s.lastSeq()
	if a := p.acked(readings(t, e, 1, 5, 5)); a.Upto != 5 || s.lastSeq() != stored {
		t.Errorf("the resent update: %+v, stored at %d", a, s.lastSeq())
	}
	p.acked(readings(t, e, 6, 1, 1))
	s.wantSeqs(e, 6)
}

func TestFullLog(t *testing.T) {
	s := newSite(t, nil)
	e := gateway.NewEpochID()
	const few = 64 << 10
	s.stop()
	s.log = openLog(t, s.dir+"/log", few)
	s.serve(nil)
	p, _ := s.open(e)
	size := uint64(250)
	upto := uint64(0)
	for full := false; !full && upto < 1e5; {
		p.send(readings(t, e, upto+1, size, 1)) // one reading a block: large
		if m := recv[*wire.Ack](p); m.Win == nil {
			upto = m.Epochs[0].Upto
		} else if full = true; *m.Win != (wire.Windows{}) || m.Why != "storage" {
			t.Errorf("told of the trouble with %+v", m)
		}
		size = 10
	}
	if upto < 250 || upto >= 1e5 {
		t.Errorf("full after %d readings", upto)
	}
	p.send(&wire.Ping{T0: 1})
	recv[*wire.Pong](p) // the session goes on
	if resp := s.get("/readyz", ""); resp.StatusCode != 503 {
		t.Errorf("/readyz says %s", resp.Status)
	}

	s.stop()
	s.start(nil)
	p, w := s.open(e)
	if w.Epochs[0].Upto != upto {
		t.Errorf("welcomed with %+v, acked was %d", w.Epochs, upto)
	}
	p.acked(readings(t, e, upto+1, 10, 10))
	s.wantSeqs(e, upto+10)
}

// A slowLog stores updates when it is released, and says when one has come.
type slowLog struct {
	record.Log
	came, release chan struct{}
}

func (l *slowLog) Append(ctx context.Context, id string, after uint64, r record.Record) (uint64, error) {
	if r.Kind != record.KindOpen {
		close(l.came)
		<-l.release
	}
	return l.Log.Append(ctx, id, after, r)
}

func TestCloseFinishesWhatIsUnderWay(t *testing.T) {
	came, release := make(chan struct{}), make(chan struct{})
	s := newSite(t, func(l record.Log) record.Log { return &slowLog{l, came, release} })
	e := gateway.NewEpochID()
	p, _ := s.open(e)
	p.send(readings(t, e, 1, 3, 3))
	<-came
	closed := make(chan struct{})
	go func() { s.server.Close(); close(closed) }()
	close(release)
	if a := recv[*wire.Ack](p); a.Epochs[0].Upto != 3 {
		t.Errorf("ack %+v", a)
	}
	if code := p.closed(); code != 1012 {
		t.Errorf("closed with %d", code)
	}
	<-closed
	if _, resp, err := s.dialWith(auth(s.token), wire.SubprotocolCBOR); err == nil || resp.StatusCode != 503 {
		t.Errorf("a stopping server answered %v, %v", resp, err)
	}
}
