// Package store is what survives a power cut: it numbers every reading, keeps
// it until the cloud is known to hold it, and hands it to the uplink in order.
//
// In its directory:
//
//	lock          held while a process has the store open; never renamed
//	state.db      small facts: install id, the list of epochs, acks (bbolt)
//	log/N.db      volumes: the readings, in blocks (bbolt)
//	quarantine/   files that were found damaged
//
// Every opening draws a new epoch and numbers its readings 1, 2, 3, …; so no
// name is ever used twice, whatever becomes of the card. The epoch's entry is
// in state.db before its first reading is stored. Readings wait in RAM, the
// head, until a flush commits them to the volume of this opening.
//
// bbolt answers damage with panics and faults, and a file cut off while it is
// made cannot be opened. So files are made under another name and renamed;
// a volume found at the start is only read, never written again; and every
// call runs under a guard that turns panics and faults into errors. After an
// error of a commit its handle is never written again. What is damaged goes
// to quarantine, and its readings become a gap.
package store
