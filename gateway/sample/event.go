package sample

// What happened to a device or a bus, as an Event tells it.
const (
	SensorOK    = "ok"    // gives readings again
	BusGone     = "gone"  // none of its devices is read
	BusBack     = "back"  // works again
	SupplyCut   = "cut"   // its supply was switched off, to switch it on again
	SupplyStuck = "stuck" // its supply cannot be switched
)

// An Event is a change of how a device or a bus is. Each change is told once:
// not again at every visit.
type Event struct {
	Device string `json:"-"` // "": it is about the bus
	Bus    string `json:"bus,omitempty"`
	State  string `json:"state"` // a State that is not starting, or one of those above
	Error  string `json:"error,omitempty"`
	Supply string `json:"supply,omitempty"` // the line that was switched
}

// tell gives an event to who wants to know. Its caller may hold no lock.
func (s *Sampler) tell(e Event) {
	if s.opts.Tell != nil {
		s.opts.Tell(e)
	}
}
