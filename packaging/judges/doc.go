// Package judges proves drivers by what was not written in this project. A
// driver and its simulated chip come from one reading of one datasheet, and so
// they share every misreading. Therefore foreign drivers read the simulated
// chips (judge A), the drivers read what real chips said on a wire (judge B),
// and published examples are calculated again (judge E). The kernel's drivers
// judge on the emulated board (C and D; see packaging/pi).
//
// Everything is in tests. `make proofs` tries all judges and writes the table
// in packaging/doc/sensors.md; a test compares that table with what passed.
package judges
