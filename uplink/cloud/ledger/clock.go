package ledger

import (
	"encoding/json"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// A Clock derives wall time from the stamps of one boot by all its anchors
// that are known now, those that came after the readings included.
type Clock struct {
	Boot gateway.BootID
	gateway.Timeline
}

// The document of a clock says anchors as they are on the wire.
type clockDoc struct {
	Boot    gateway.BootID `json:"boot"`
	Anchors []wire.Anchor  `json:"anchors"` // by From
}

// MarshalJSON implements json.Marshaler.
func (c *Clock) MarshalJSON() ([]byte, error) {
	doc := clockDoc{Boot: c.Boot}
	for _, a := range c.Timeline {
		doc.Anchors = append(doc.Anchors, record.WireAnchor(a))
	}
	return json.Marshal(doc)
}

// UnmarshalJSON implements json.Unmarshaler.
func (c *Clock) UnmarshalJSON(b []byte) error {
	var doc clockDoc
	if err := json.Unmarshal(b, &doc); err != nil {
		return err
	}
	c.Boot, c.Timeline = doc.Boot, nil
	for _, a := range doc.Anchors {
		c.Add(a)
	}
	return nil
}

// Add takes an anchor in and tells whether that changed anything.
func (c *Clock) Add(a wire.Anchor) (changed bool) {
	c.Timeline, changed = c.With(record.AnchorOf(a))
	return changed
}

// Bounds is that of the timeline for stamps as they are on the wire.
func (c *Clock) Bounds(t0, t1 int64) (w0, w1 time.Time, q gateway.ClockQuality) {
	return c.Timeline.Bounds(gateway.Stamp(t0), gateway.Stamp(t1))
}

// Wall is likewise.
func (c *Clock) Wall(s int64) (time.Time, gateway.ClockQuality) {
	return c.Timeline.Wall(gateway.Stamp(s))
}
