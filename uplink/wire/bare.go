package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/fieldgate/fieldgate/gateway"
)

// A Bare is a reading as simple clients send it, in JSON alone: an object with
// device_id and value whose type is missing, update, or no message type. It
// has no name, and so no claim to be stored exactly once: the cloud answers it
// with an ack that names no epoch.
type Bare struct {
	Kind      string   `json:"type,omitempty"` // as it came
	Device    string   `json:"device_id"`
	Quantity  string   `json:"quantity,omitempty"`
	Value     *float64 `json:"value"` // nil: not a number; a bool is 0 or 1
	Unit      string   `json:"unit,omitempty"`
	Timestamp Time     `json:"timestamp,omitempty"` // when it was measured; 0: not said
	Quality   string   `json:"quality,omitempty"`   // "": not said
	Time      string   `json:"time,omitempty"`      // how far Timestamp may be believed; "": not said
}

func (*Bare) messageType() Type { return 0 }

// UnmarshalJSON takes true and false for 1 and 0.
func (m *Bare) UnmarshalJSON(b []byte) error {
	type plain Bare
	var v struct {
		plain
		Value json.RawMessage `json:"value"`
	}
	if err := json.Unmarshal(b, &v); err != nil {
		return err
	}
	*m = Bare(v.plain)
	switch text := bytes.TrimSpace(v.Value); string(text) {
	case "true":
		m.Value = new(float64)
		*m.Value = 1
	case "false":
		m.Value = new(float64)
	default:
		return json.Unmarshal(text, &m.Value)
	}
	return nil
}

// QuantityOr gives what was measured: the quantity if there is one, else a
// type of the form temperature_update without its ending, else other.
func (m *Bare) QuantityOr(other string) string {
	if m.Quantity != "" {
		return m.Quantity
	}
	if q, ok := strings.CutSuffix(m.Kind, "_update"); ok && gateway.ValidID(q) {
		return q
	}
	return other
}

func (m *Bare) validate() error {
	switch {
	case !gateway.ValidID(m.Device):
		return fmt.Errorf("device_id is %.40q", m.Device)
	case m.Quantity != "" && !gateway.ValidID(m.Quantity):
		return fmt.Errorf("quantity is %.40q", m.Quantity)
	case len(m.Kind) > 64:
		return errors.New("type is longer than 64 bytes")
	case m.Quality != "" && !validReadingQuality(m.Quality):
		return fmt.Errorf("quality is %.40q", m.Quality)
	case m.Time != "" && !validClockName(m.Time):
		return fmt.Errorf("time is %.40q", m.Time)
	case !finite(m.Value):
		return errors.New("value is not a number")
	}
	return validUnit(m.Unit)
}
