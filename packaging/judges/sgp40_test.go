package judges

import "testing"

var sgp40Proofs = []proof{
	{chip: "SGP40", driver: "sgp40", judge: "E", by: "SGP40 datasheet 1.0, tables 7 and 9: 8000/A2, 6666/93, BEEF/92",
		try: func(t *testing.T) {
			checksumOfBEEF(t)
			replayed(t, "sgp40", 0x59, nil, 0, "sgp40-datasheet.transcript", [][]float64{{0xbeef}, {0xbeef}})
		}},
}
