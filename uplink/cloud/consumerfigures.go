package cloud

import (
	"fmt"
	"io"
	"time"

	"github.com/fieldgate/fieldgate/uplink/cloud/ledger"
)

// useConsumerFigures shows what the parts for those who read count.
func (s *Server) useConsumerFigures(l *ledger.Ledger) {
	s.figures.gauge("live_clients", func() float64 {
		s.mu.Lock()
		defer s.mu.Unlock()
		return float64(s.listening)
	})
	s.figures.gauge("live_lost_total", func() float64 { return float64(s.hub.lost.Load()) })
	for _, code := range alarmCodes {
		s.figures.gauge(fmt.Sprintf("alarms{code=%q}", code), func() float64 { return float64(s.alarms.count(code)) })
	}
	if l != nil {
		s.figures.gauge("ledger_records_total", func() float64 { return float64(l.Entered.Load()) })
		s.figures.gauge("ledger_behind_seconds", func() float64 { return float64(l.Behind.Load()) / 1000 })
	}
}

// writeConsumerFigures shows how far the consumers of the log are behind: they
// come and go.
func (s *Server) writeConsumerFigures(w io.Writer) {
	for _, c := range s.alarms.behind() {
		fmt.Fprintf(w, "%sjs_consumer_lag{consumer=%q} %d\n", figurePrefix, c.Name, c.Behind)
		age, used := 0.0, 0
		if !c.Oldest.IsZero() {
			age = max(0, time.Since(c.Oldest).Seconds())
		}
		if c.Used {
			used = 1
		}
		fmt.Fprintf(w, "%sjs_consumer_lag_seconds{consumer=%q} %.3f\n", figurePrefix, c.Name, age)
		fmt.Fprintf(w, "%sjs_consumer_used{consumer=%q} %d\n", figurePrefix, c.Name, used)
	}
}
