// Package ledger knows what has become of every reading of every gateway. It
// enters the records of the log, in their order, into a ledger for each gateway:
// an account of each epoch, and the clock of each boot. So it can say when
// readings were taken, where in the log they lie, whether all of a time has
// come, and what is missing and why. What it has entered outlives the log.
package ledger
