package drivers

// A Partial is a Sensor that gives what it can when it cannot give all of its
// quantities: one diode of a chip is open, the others work.
type Partial interface {
	Sensor
	// Missing tells, after a Read without error, why quantities are missing
	// in it; nil: none is.
	Missing() error
}
