// Package cloud is the reference server at the other end of the uplink: it
// opens sessions, stores what gateways send in a log before it acknowledges,
// and reads that log for operators.
//
// What is durable is only in the Log: a Server can be killed at any moment and
// another started in its place; each session begins by reading the newest
// record of its gateway.
package cloud
