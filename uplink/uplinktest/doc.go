// Package uplinktest is what tests of the line need: a network in memory that
// can be cut, stalled and made to hang, a certificate authority, a small cloud
// that keeps the rules of the protocol and can be told to break them, and a
// store in memory. Everything works inside a testing/synctest bubble.
package uplinktest
