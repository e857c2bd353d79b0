package drivertest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"periph.io/x/conn/v3/physic"
	"periph.io/x/conn/v3/spi"

	"github.com/fieldgate/fieldgate/drivers"
)

// An adc is a converter on SPI: two bytes are asked for with 0x5a. The upper
// four bits that come back are 1010, the others the voltage in steps of
// 1 mV.
type adc struct{ drivers.Simulation }

func (a adc) Reset() {}
func (a adc) Tx(w, r []byte) error {
	if len(w) == 2 && w[0] == 0x5a {
		v := 0xa000 | uint16(1000*a.Now("voltage"))
		r[0], r[1] = byte(v>>8), byte(v)
	}
	return nil
}

// adcSensor is a driver for it, with a defect or none.
type adcSensor struct {
	defect string
	conn   spi.Conn
	w, r   [2]byte
	value  [1]drivers.Value
}

func (s *adcSensor) Halt() error { return nil }
func (s *adcSensor) Read(ctx context.Context) ([]drivers.Value, error) {
	s.w[0] = 0x5a
	if err := drivers.Transfer(ctx, s.conn, s.w[:], s.r[:]); err != nil {
		return nil, fmt.Errorf("read voltage: %w", err)
	}
	blind := s.defect == "believes high" && s.r[0] == 0xff || s.defect == "believes low" && s.r[0] == 0
	if s.r[0]>>4 != 0xa && !blind {
		return nil, errors.New("no frame")
	}
	s.value[0] = drivers.Value{Quantity: "voltage", Value: float64(s.r[0]&0xf)*0.256 + float64(s.r[1])/1000}
	if s.defect == "wastes" {
		return append([]drivers.Value(nil), s.value[:]...), nil
	}
	return s.value[:], nil
}

func adcCase(defect string) Case {
	return Case{Driver: drivers.Driver{
		Name: "adc", Doc: "Converter.", Chips: []string{"ADC"}, Bus: drivers.BusSPI, SPI: drivers.SPI{Mode: spi.Mode0, Speed: physic.MegaHertz},
		Interval: time.Second, Timeout: time.Second, Quantities: []drivers.Quantity{{Name: "voltage", Unit: "V"}},
		Blind: []string{"FlippedBit"},
		Open: func(ctx context.Context, t drivers.Target) (drivers.Sensor, error) {
			s := &adcSensor{defect: defect, conn: t.SPI}
			_, err := s.Read(ctx)
			return s, err
		},
		Simulate: func(s drivers.Simulation) drivers.Chip { return adc{s} },
	}}
}

func TestSuiteOnSPI(t *testing.T) {
	Run(t, adcCase(""))
	for defect, check := range map[string]string{"believes high": "MISOStuckHigh", "believes low": "MISOStuckLow"} {
		t.Run(defect, func(t *testing.T) {
			names := failing(t, func() Case { return adcCase(defect) })
			if len(names) != 1 || names[0] != check {
				t.Errorf("failed are %v, want %s", names, check)
			}
		})
	}
}

func TestAllocationsAreSeen(t *testing.T) {
	if err := checkAllocations(adcCase("wastes")); err == nil || !strings.Contains(err.Error(), "1 allocations") {
		t.Errorf("error = %v", err)
	}
}
