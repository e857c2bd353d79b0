package uplink

import "time"

// A Budget bounds what the line may cost in a calendar month (UTC).
//
// The month's bytes are spread evenly over it; a day's part may be used ahead.
// Beyond that the backlog gives way first: it waits until time has caught up.
// What still is too much slows live down, the more the further it is ahead,
// until one update leaves per Floor. Events and the session's own messages are
// never held back, so a budget can be exceeded: the status says so.
type Budget struct {
	Limit int64         // bytes in a month, both directions, TCP/IP included; 0: no bound
	Floor time.Duration // between two live updates, when nothing else helps
}

// An Allowance is what a Budget allows now.
type Allowance struct {
	Backlog bool
	Resume  time.Time     // when backlog may go on, if it may not now
	Live    time.Duration // least time from one live update to the next, however big; 0: as always
}

// Allow tells what may be sent after used bytes of the month that now is in.
func (b Budget) Allow(used int64, now time.Time) Allowance {
	if b.Limit <= 0 {
		return Allowance{Backlog: true}
	}
	begin, end := month(now)
	length := end.Sub(begin)
	day := float64(b.Limit) * float64(24*time.Hour) / float64(length)
	share := float64(b.Limit)*float64(now.Sub(begin))/float64(length) + day
	over := float64(used) - min(share, float64(b.Limit))
	if over < 0 {
		return Allowance{Backlog: true}
	}
	a := Allowance{Resume: end}
	if used < b.Limit {
		a.Resume = begin.Add(time.Duration((float64(used) - day) / float64(b.Limit) * float64(length))).Add(time.Second)
	}
	slow := min(1, over/day)
	if used >= b.Limit {
		slow = 1
	}
	a.Live = time.Duration(slow * float64(b.Floor)).Round(100 * time.Millisecond)
	return a
}

// month gives the beginning of the month that a time is in, and of the next.
func month(now time.Time) (begin, end time.Time) {
	y, m, _ := now.UTC().Date()
	begin = time.Date(y, m, 1, 0, 0, 0, 0, time.UTC)
	return begin, begin.AddDate(0, 1, 0)
}
