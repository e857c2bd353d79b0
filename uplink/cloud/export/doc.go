// Package export writes what the log holds of a gateway as lines, in JSON or
// CSV: readings, and what stands in their place, with the wall times that are
// known now.
package export
