// Package export finds what of the log answers a question about a gateway, and
// has it written as lines: readings, and what stands in their place, with the
// wall times that are known now.
package export
