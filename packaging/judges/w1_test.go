package judges

import (
	"testing"

	"github.com/fieldgate/fieldgate/drivers"
	"github.com/fieldgate/fieldgate/drivers/drivertest"
	"github.com/fieldgate/fieldgate/drivers/w1"
)

var w1Proofs = []proof{
	{chip: "DS18B20", driver: "w1", judge: "B", by: "answers of six chips, as people published what Linux showed them",
		try: published("28-0000010edf01", []answer{
			{"5c 01 4b 46 7f ff 04 10 a1", "a1", "21750", 21.75},  // manintheit.org, measuring a temperature
			{"fb ff 4b 46 7f ff 0c 10 06", "06", "-312", -0.312},  // github.com/turmoni/temp-probe-exporter/pull/1, outdoors
			{"2c 01 ff ff 7f ff ff ff 61", "61", "18750", 18.75},  // bikealive.nl, a copy that leaves bytes at ff
			{"5e 01 ff ff 7f ff ff ff 52", "52", "21875", 21.875}, // raspberrypi.stackexchange.com/questions/48106
			{"d8 01 00 04 1f ff 08 10 1c", "1c", "29500", 29.5},   // BeagleBone Essentials, a chip set to 9 bits
			{"f4 01 4b 46 7f ff 0c 10 c7", "c7", "31250", 31.25},  // a school's course; byte 6 as after power-up, and right
		})},
	{chip: "DS18S20", driver: "w1", judge: "B", by: "the answer of a chip, as somebody published what Linux showed",
		try: published("10-000802b4ba0e", []answer{
			{"31 00 4b 46 ff ff 05 10 1c", "1c", "24437", 24.437},
		})},
}

// An answer is what Linux printed of a real chip.
type answer struct {
	bytes, crc, t string
	want          float64
}

// published gives a proof that the driver reads these answers.
func published(serial string, answers []answer) func(t *testing.T) {
	return func(t *testing.T) {
		for _, a := range answers {
			root := drivertest.Tree(t, map[string]string{
				"sys/bus/w1/devices/" + serial + "/w1_slave": a.bytes + " : crc=" + a.crc + " YES\n" + a.bytes + " t=" + a.t + "\n",
			})
			s, err := w1.Driver().Open(t.Context(), drivers.Target{SysRoot: root, Options: map[string]any{"sensor": serial}})
			if err != nil {
				t.Fatal(err)
			}
			vs, err := s.Read(t.Context())
			if err != nil || len(vs) != 1 || vs[0] != (drivers.Value{Quantity: "temperature", Value: a.want}) {
				t.Errorf("%s: read %+v, %v; want %v", a.bytes, vs, err, a.want)
			}
		}
	}
}
