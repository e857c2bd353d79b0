// Package model puts the rules of resuming to the proof (uplink/wire,
// PROTOCOL.md 2.4): whole histories of a gateway and its cloud, at random, with
// the real parts. Stores on their cards, the uplink, two servers of the cloud
// and the JetStream under them live through power cuts, restored images,
// copied cards, lines that stall or break inside a frame, servers that are
// killed, a log that answers late or not at all, restarts or loses what it
// had; all of these also in the middle of a step of the other parts. Then
// everything heals and drains, and a judge who knows nothing but what was
// appended reads the log: every name once, with its value, or in a record that
// says why not.
//
// All of it runs in virtual time, nats-server included, so that the ten
// minutes of retention and the hour of a refused identity cost nothing.
//
// A proof must be able to fail: the same histories on a log that has lost one
// rule must be found out (judgesees_test.go).
package model
