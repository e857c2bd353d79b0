package local

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
)

// A channelRow is a channel with its last reading; without one, only Device,
// Quantity and Unit are set.
type channelRow struct {
	row
	Stamp *gateway.Stamp `json:"stamp,omitempty"` // microseconds since the board booted
	Age   *float64       `json:"age_s,omitempty"`
}

type channelList struct {
	GatewayID string       `json:"gateway_id"`
	Time      time.Time    `json:"time"`
	Channels  []channelRow `json:"channels"`
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
func (s *Server) channels(devices []Device) []channelRow {
	now, anchor := s.o.Clock.Stamp(), s.o.Clock.Anchor()
	list := []channelRow{}
	seen := map[[2]string]bool{}
	for _, u := range s.o.Hub.Last() {
		age := seconds(now.Sub(u.At))
		list = append(list, channelRow{row: rowOf(u, anchor), Stamp: &u.At, Age: &age})
		seen[[2]string{u.Channel.Device, u.Channel.Quantity}] = true
	}
	for _, d := range devices {
		for _, c := range d.Channels {
			if !seen[[2]string{d.ID, c.Quantity}] {
				list = append(list, channelRow{row: row{Device: d.ID, Quantity: c.Quantity, Unit: c.Unit}})
			}
		}
	}
	slices.SortFunc(list, func(a, b channelRow) int {
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
