package uplink

import (
	"fmt"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
)

// A delivery is what waited for the cloud when a session began.
type delivery struct {
	n     uint64
	began time.Time
	left  map[gateway.EpochID]uint64 // by epoch: the last reading that waited
}

// owed counts what the cloud lacks.
func (s *session) owed() delivery {
	d := delivery{began: time.Now(), left: map[gateway.EpochID]uint64{}}
	for _, st := range s.u.o.Source.Epochs() {
		held := st.Acked
		if t := s.tracks[st.ID]; t != nil {
			held = t.cloud.upto
		}
		if st.Last > held {
			d.n += st.Last - held
			d.left[st.ID] = st.Last
		}
	}
	return d
}

// delivered notes how far the cloud is with an epoch, and tells once when it
// has everything that waited.
func (s *session) delivered(e gateway.EpochID, upto uint64) {
	last, waits := s.due.left[e]
	if !waits || upto < last {
		return
	}
	if delete(s.due.left, e); len(s.due.left) == 0 {
		s.u.o.Log.Info(fmt.Sprintf("%d waiting readings delivered in %.1f s", s.due.n, time.Since(s.due.began).Seconds()))
	}
}
