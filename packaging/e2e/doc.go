// Package e2e is the harness of the end-to-end tests. It sees from outside what
// a gateway shows on site and what the cloud's log holds, and judges whether
// every reading is accounted for. The tests of both programs use it, on this
// machine and on the emulated Raspberry Pi.
package e2e

import "time"

// Patience is how long anything may take before a test gives up on it. A test
// of something slower sets it before it begins.
var Patience = 4 * time.Minute

// A Name identifies one reading of the gateway for ever.
type Name struct {
	Epoch string
	Seq   uint64
}

// A Reading is one line of /ws, or of the cloud's log.
type Reading struct {
	Device    string    `json:"device_id"`
	Quantity  string    `json:"quantity"`
	Value     float64   `json:"value"`
	Timestamp time.Time `json:"timestamp"`
	Quality   string    `json:"quality"`
	Epoch     string    `json:"epoch"`
	Seq       uint64    `json:"seq"`
}

// Name is the reading's name.
func (r Reading) Name() Name { return Name{r.Epoch, r.Seq} }

// A Status is the part of the gateway's status message that tests look at.
type Status struct {
	Uplink struct {
		State string `json:"state"`
	} `json:"uplink"`
	Store struct {
		Unacked    uint64  `json:"unacked"`
		LossWindow float64 `json:"loss_window_s"`
	} `json:"store"`
	Config struct {
		Version uint64 `json:"version"`
		Refused *struct {
			Version uint64   `json:"version"`
			State   string   `json:"state"`
			Errors  []string `json:"errors"`
		} `json:"refused"`
	} `json:"config"`
	Health []Condition `json:"health"`
}

// A Condition is something that is wrong at present.
type Condition struct {
	Code     string `json:"code"`
	Subject  string `json:"subject"`
	Sentence string `json:"sentence"`
}

// About reports whether a condition of this subject holds.
func (s Status) About(subject string) bool {
	for _, c := range s.Health {
		if c.Subject == subject {
			return true
		}
	}
	return false
}
