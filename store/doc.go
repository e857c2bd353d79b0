// Package store is what survives a power cut: it numbers every reading, keeps
// it until the cloud is known to hold it, and hands it to the uplink in order.
//
// In its directory:
//
//	lock          held while a process has the store open; never renamed
//	journal       the last minutes: a fixed number of checksummed pages
//	log/N.db      volumes: everything older, in big blocks (bbolt)
//	state.db      small facts: install id, epochs, acks, events, commands (bbolt)
//	quarantine/   files that were found damaged, the newest few
//	side/         another store, while a later version's is left alone
//
// Every opening draws a new epoch and numbers its readings 1, 2, 3, …; so no
// name is ever used twice, whatever becomes of the card. The epoch's entry is
// in state.db before its first reading is stored.
//
// A reading waits in RAM, in the head, until a flush: one page of the journal,
// written beside the version before it, and one fdatasync. When 16,384 have
// gathered they become a block of a volume in one transaction, and their pages
// are free. Much at once, and what was acknowledged meanwhile, goes into a
// volume directly. After a cut the journal's pages are read into RAM and go
// the same way.
//
// Where the limits leave no room, first goes what the cloud has for certain:
// whole volumes, then blocks of volumes. Then the detail of the oldest readings
// that the cloud lacks: their blocks become summaries per channel and interval.
// Then those themselves, and a gap says so. Volumes that restarts left small
// are merged. A volume is made smaller a block at a time, between the flushes,
// and its new file takes its name in one rename (rewrite.go).
//
// The order of the durable steps (card.go names them all): the entry before
// the readings; acks, and what is discarded, before the unlink that they allow;
// every file that is made or replaced under another name first, then renamed.
// After an error of a commit its handle is never written again.
//
// bbolt answers damage with panics and faults. So a volume found at the start
// is only read, never written again; every call runs under a guard; and
// another process reads state.db first. Of a damaged volume what is whole is
// found by plain reads and written anew; the rest becomes a gap. Every opening
// ends with an audit: what nothing covers is a gap too.
package store
