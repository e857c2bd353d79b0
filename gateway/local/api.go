package local

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/live"
)

// A ChannelRow is a channel with its last reading; without one, only Device,
// Quantity and Unit are set.
type ChannelRow struct {
	row
	Stamp    *gateway.Stamp `json:"stamp,omitempty"` // microseconds since the board booted
	Age      *float64       `json:"age_s,omitempty"`
	LastGood *GoodValue     `json:"last_good,omitempty"` // if the last reading was not good, and one before it was
}

// A GoodValue is the last value of a channel that was good.
type GoodValue struct {
	Value     float64 `json:"value"`
	Timestamp string  `json:"timestamp"`
	Age       float64 `json:"age_s"`
}

// A Report is everything that the gateway says of itself: what /api/v1/status
// and /api/v1/channels give, at one moment.
type Report struct {
	Status
	Channels []ChannelRow `json:"channels"`
}

// Report gives the present one. It may be called from any goroutine.
func (s *Server) Report() Report {
	st := s.status()
	return Report{Status: st, Channels: s.channels(st.Devices)}
}

type channelList struct {
	GatewayID string       `json:"gateway_id"`
	Time      time.Time    `json:"time"`
	Channels  []ChannelRow `json:"channels"`
}

func (s *Server) serveStatus(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, s.status())
}

func (s *Server) serveChannels(w http.ResponseWriter, _ *http.Request) {
	st := s.status()
	writeJSON(w, http.StatusOK, channelList{
		GatewayID: st.GatewayID,
		Time:      st.Time,
		Channels:  s.channels(st.Devices),
	})
}

// channels gives the last reading of every channel, and the channels of
// devices that had none yet, by device and quantity.
func (s *Server) channels(devices []Device) []ChannelRow {
	now, anchor := s.o.Clock.Stamp(), s.o.Clock.Anchor()
	list := []ChannelRow{}
	seen := map[[2]string]bool{}
	good := map[*gateway.Channel]live.Update{}
	for _, u := range s.o.Hub.LastGood() {
		good[u.Channel] = u
	}
	for _, u := range s.o.Hub.Last() {
		age := seconds(now.Sub(u.At))
		r := ChannelRow{row: rowOf(u, anchor), Stamp: &u.At, Age: &age}
		if g, had := good[u.Channel]; had && g.Name != u.Name {
			r.LastGood = &GoodValue{g.Value, anchor.Wall(g.At).Format(milliRFC3339), seconds(now.Sub(g.At))}
		}
		list = append(list, r)
		seen[[2]string{u.Channel.Device, u.Channel.Quantity}] = true
	}
	for _, d := range devices {
		for _, c := range d.Channels {
			if !seen[[2]string{d.ID, c.Quantity}] {
				list = append(list, ChannelRow{row: row{Device: d.ID, Quantity: c.Quantity, Unit: c.Unit}})
			}
		}
	}
	slices.SortFunc(list, func(a, b ChannelRow) int {
		if c := strings.Compare(a.Device, b.Device); c != 0 {
			return c
		}
		return strings.Compare(a.Quantity, b.Quantity)
	})
	return list
}

// serveHealthz says that the daemon answers, and nothing else.
func serveHealthz(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
}

func serveNotFound(w http.ResponseWriter, _ *http.Request) {
	refuse(w, http.StatusNotFound, newFault("not_found", "There is nothing here. The dashboard is at /, the API under /api/v1/."))
}
