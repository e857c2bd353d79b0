package jetstream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const lookEvery = 5 * time.Second // at who leads, and whether the streams are there

// A watcher looks after what happens to the streams on a cluster beside this
// process. Owned by one goroutine.
type watcher struct {
	log  *Log
	lead leadership
	made map[string]time.Time // when each stream was made that this process uses
}

// watch reports when another server, or the same anew, leads the log's stream:
// it may lack what the last one was about to store. The server's advisory
// comes at once, but may be lost: so it is also looked at. A stream that is
// deleted, or made anew, ends the use of the log: what this process and its
// consumers know of places is about another one.
func (l *Log) watch(ctx context.Context) error {
	w := &watcher{log: l, made: map[string]time.Time{}}
	for _, s := range []jetstream.Stream{l.docs, l.stream} {
		info, err := infoOf(ctx, s)
		if err != nil {
			return fmt.Errorf("look at stream %s: %w", s.CachedInfo().Config.Name, err)
		}
		w.made[info.Config.Name], w.lead = info.Created, leaderOf(info)
	}
	elected := make(chan struct{}, 1)
	sub, err := l.conn.Subscribe("$JS.EVENT.ADVISORY.STREAM.LEADER_ELECTED."+rawStream, func(*nats.Msg) {
		select {
		case elected <- struct{}{}:
		default:
		}
	})
	if err != nil {
		return fmt.Errorf("listen for a new leader: %w", err)
	}
	ctx, l.stop = context.WithCancel(context.WithoutCancel(ctx))
	l.watching.Go(func() {
		defer func() { _ = sub.Unsubscribe() }()
		tick := time.NewTicker(lookEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-elected:
				w.leads(ctx, true)
			case <-tick.C:
				w.leads(ctx, false)
				w.look(ctx, l.docs)
			}
		}
	})
	return nil
}

// leads looks at the log's stream, and tells who leads it if that is news.
func (w *watcher) leads(ctx context.Context, advised bool) {
	now := leaderOf(w.look(ctx, w.log.stream))
	if now.server != "" && (advised || now != w.lead) {
		w.lead = now
		w.log.interrupted(fmt.Errorf("%s leads the log's stream now", now.server))
	}
}

// look asks for a stream, and notes if it is not the one of the beginning. It
// gives nil if nobody tells.
func (w *watcher) look(ctx context.Context, s jetstream.Stream) *jetstream.StreamInfo {
	name := s.CachedInfo().Config.Name
	info, err := infoOf(ctx, s)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		w.end(fmt.Errorf("stream %s is gone: somebody deleted it at the cluster, with all that was in it; "+
			"it is made anew when fieldgate-cloud starts", name))
	}
	if info != nil && !info.Created.Equal(w.made[name]) {
		w.end(fmt.Errorf("stream %s was deleted and made anew at the cluster", name))
	}
	return info
}

// end ends the use of the log: no session goes on, and Broken says why.
func (w *watcher) end(err error) {
	if w.log.ended.CompareAndSwap(nil, &ending{err}) {
		w.log.interrupted(err)
	}
}

func infoOf(ctx context.Context, s jetstream.Stream) (*jetstream.StreamInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, lookEvery)
	defer cancel()
	return s.Info(ctx)
}

// A leadership is one server's, from one election to the next: the same server
// may lead anew, without what it was about to store.
type leadership struct {
	server string
	since  int64 // ns since 1970; 0: it does not say (nats-server before it had leader_since)
}

// leaderOf names no server if there is none, or nobody tells.
func leaderOf(info *jetstream.StreamInfo) leadership {
	if info == nil || info.Cluster == nil {
		return leadership{} // nobody tells, or it is a single server
	}
	l := leadership{server: info.Cluster.Leader}
	if since := info.Cluster.LeaderSince; since != nil {
		l.since = since.UnixNano()
	}
	return l
}
