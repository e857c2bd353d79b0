// Package pi is the emulated Raspberry Pi: its tests install fieldgate's Debian
// package there and drive it (`make test-pi`, build tag pi).
package pi

// A Judgement is what the kernel of the emulated board proves of a driver.
type Judgement struct {
	Chip, Driver string
	Judge        string // C: the kernel's driver on the same registers; D: a chip of QEMU
	By           string // what was compared, for the table of proofs
	Step         string // of TestPi, which fails if it is not so
}

// Judged lists them. TestPi fails if a step is missing here or was not run.
var Judged = []Judgement{
	{Chip: "TMP105", Driver: "lm75", Judge: "D", By: "QEMU's tmp105, set over QMP", Step: "sampling without a credential"},
	{Chip: "TMP421", Driver: "hwmon", Judge: "D", By: "QEMU's tmp421, set over QMP from -12.375 to 99.85 Cel", Step: "drivers of the kernel"},
	{Chip: "EMC1413", Driver: "hwmon", Judge: "D", By: "QEMU's emc1413, set over QMP; below zero the kernel's driver is wrong",
		Step: "drivers of the kernel"},
	{Chip: "LSM303DLHC", Driver: "iio", Judge: "D", By: "QEMU's lsm303dlhc_mag, set over QMP", Step: "drivers of the kernel"},
	{Chip: "DPS310", Driver: "iio", Judge: "D", By: "QEMU's dps310, a fixed answer", Step: "drivers of the kernel"},
}
