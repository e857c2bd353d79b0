// Package drivers says what a driver is: a Sensor behind a bus, and the table
// entry that describes it. It knows periph's bus interfaces and nothing of
// gateways, stores or networks.
//
// # A driver is an afternoon
//
// A new driver is a folder here and one line in builtin.Drivers. The folder holds the
// driver, its simulated chip in sim.go, its test, and recordings of the real
// chip in testdata. Take the datasheet and begin with the row of the table.
// This is all of the driver for a humidity sensor HYGRO. It measures within
// 20 ms of a command, and answers with 16 bits and a checksum.
//
//	// Driver is the row for the table.
//	func Driver() drivers.Driver {
//		return drivers.Driver{
//			Name: "hygro", Doc: "HYGRO humidity sensor", Chips: []string{"HYGRO"}, Bus: drivers.BusI2C,
//			Addresses: []uint16{0x40}, Address: 0x40,
//			Interval: 10 * time.Second, Timeout: time.Second,
//			Quantities: []drivers.Quantity{{Name: "humidity", Unit: "%RH"}},
//			Lies: []drivers.Lie{{
//				Name: "not-yet-measured", Doc: "ffff with a right checksum before the first measurement (datasheet p. 7)",
//				Tell: func(c drivers.Chip) { c.(*chip).raw, c.(*chip).dead = 0xffff, true },
//			}},
//			Open:     open,
//			Simulate: simulate,
//		}
//	}
//
//	const command = 0xe5 // "measure" (datasheet p. 5)
//
//	type sensor struct {
//		dev   i2c.Dev
//		w     [1]byte // kept here, so that a visit allocates nothing
//		r     [3]byte
//		value [1]drivers.Value
//	}
//
//	func open(ctx context.Context, t drivers.Target) (drivers.Sensor, error) {
//		s := &sensor{dev: i2c.Dev{Bus: t.I2C, Addr: t.Address}, w: [1]byte{command}}
//		if _, err := s.Start(ctx); err != nil {
//			return nil, fmt.Errorf("look for the chip: %w", err)
//		}
//		return s, drivers.Pause(ctx, 20*time.Millisecond)
//	}
//
//	// Start begins a measurement, which takes 20 ms (datasheet p. 6).
//	func (s *sensor) Start(ctx context.Context) (time.Duration, error) {
//		return 20 * time.Millisecond, drivers.Transfer(ctx, &s.dev, s.w[:], nil)
//	}
//
//	func (s *sensor) Read(ctx context.Context) ([]drivers.Value, error) {
//		if err := drivers.Transfer(ctx, &s.dev, nil, s.r[:]); err != nil {
//			return nil, fmt.Errorf("read humidity: %w", err)
//		}
//		if drivers.CRC8(s.r[:2], 0x31, 0xff) != s.r[2] {
//			return nil, fmt.Errorf("read humidity: %x has a wrong checksum", s.r)
//		}
//		raw := uint16(s.r[0])<<8 | uint16(s.r[1])
//		if raw == 0xffff {
//			return nil, errors.New("the chip has not measured yet")
//		}
//		s.value[0] = drivers.Value{Quantity: "humidity", Value: 100 * float64(raw) / 65536}
//		if raw < 0x0100 {
//			s.value[0].Doubt = "below what the chip can measure"
//		}
//		return s.value[:], nil
//	}
//
//	func (s *sensor) Halt() error { return nil } // it sleeps by itself
//
// Rules that the suite holds you to:
//
//   - A value that is not true is never given as good. Give no value and an
//     error if the chip says nothing useful, and a value with a Doubt if
//     something is measured that may be wrong, such as a clipped input.
//   - What the chip says when it should say nothing is a Lie in the row. Look
//     for it in the datasheet: after power-up, without a sensor, out of range,
//     while busy. Some chips have none.
//   - A chip that can say who it is has an Identity in the row: fieldgate scan
//     names it by that.
//   - The power of a chip can fail between two visits. If it then forgot
//     settings that change its values, Read must notice: read them back.
//     Return an error, and Open is called again.
//   - Errors are wrapped with %w. The sampler asks for ErrAbsent and ErrBus.
//   - No transfer begins once ctx is done: use Transfer and Pause.
//   - Waits between two transfers of a visit that others on the bus shall not
//     feel go between Start and Read (Starter). Transfers between which nobody
//     may come are made with Sequence.
//   - A visit allocates nothing: what is written and read, and the values, stay
//     in the sensor. drivertest.Run measures it.
//   - No flipped bit of an answer becomes a good value, as far as the chip's
//     checksum or fixed bits can show it. A chip without says so in Blind. Some
//     thousand visits in a storm of faults leave no untrue value, and the
//     device comes back (STORM=500000 go test -run Storm ./drivers/builtin).
//   - Registers and formulas bear the page of the datasheet.
//
// The simulated chip lives at register level. What there is to measure it asks
// of the Simulation, by the quantities of the row. It runs in the demo, in the
// tests of the daemon, and on the desk of whoever has no hardware
// (bus = "sim-1" in the configuration).
//
//	// A chip is the simulated one.
//	type chip struct {
//		drivers.Simulation
//		raw  uint16
//		dead bool // it never measures
//	}
//
//	func simulate(s drivers.Simulation) drivers.Chip { return &chip{Simulation: s, raw: 0xffff} }
//
//	func (c *chip) Reset() { c.raw = 0xffff }
//
//	func (c *chip) Tx(w, r []byte) error {
//		if len(w) > 0 && w[0] == command && !c.dead {
//			c.raw = uint16(min(max(c.Now("humidity"), 0), 99) * 65536 / 100)
//		}
//		answer := [3]byte{byte(c.raw >> 8), byte(c.raw)}
//		answer[2] = drivers.CRC8(answer[:2], 0x31, 0xff)
//		copy(r, answer[:])
//		return nil
//	}
//
// The same hand wrote both, from one reading of the datasheet: the suite proves
// that the driver stands faults, not that it is right. Add to the test what
// others wrote: the examples of the datasheet as golden values, a recording of
// a real chip (drivertest.Replay), a foreign driver on the simulated chip.
//
//	func TestSuite(t *testing.T) {
//		drivertest.Run(t, drivertest.Case{Driver: Driver(), Values: map[string]float64{"humidity": 62.5},
//			Want: map[string]float64{"humidity": 62.5}})
//		drivertest.Run(t, drivertest.Case{Driver: Driver()})
//	}
//
// On SPI, the row says Bus: BusSPI and SPI: SPI{Mode, Speed}, and Open takes
// Target.SPI, on which w and r pass at the same time. On GPIO the row has
// SimulateLine, and a driver that reads files of the kernel has Files. What the
// bytes of a chip cannot show to any driver, the row lists as Blind.
package drivers
