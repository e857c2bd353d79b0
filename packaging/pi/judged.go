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
}
