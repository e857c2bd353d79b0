// Package quiet keeps one line of a library out of the log: the one with which
// VictoriaMetrics/metrics says, while any program that links it starts, that
// the kernel has no PSI. Every command of the cloud would print it.
//
// Go initialises the packages in the order of their import paths, each after
// what it imports. This package imports so little that it comes before the
// library; importing it for its effect is enough. Standard library only.
package quiet

import (
	"bytes"
	"io"
	"log"
	"os"
)

// unwanted is what the line contains.
const unwanted = "metrics: disable exposing PSI metrics"

// set is only here to be initialised.
var set = setOutput()

func setOutput() bool {
	log.SetOutput(filter{os.Stderr})
	return true
}

// A filter passes on every line but the unwanted one. The log package writes a
// whole line at a time.
type filter struct{ to io.Writer }

func (f filter) Write(line []byte) (int, error) {
	if bytes.Contains(line, []byte(unwanted)) {
		return len(line), nil
	}
	return f.to.Write(line)
}
