// Package cloudtest stands in for what the cloud keeps its records in, for
// tests: a Log and a KV in memory whose faults a test can switch on, and a
// History, which writes the log of gateways as sessions do and knows beside it
// what a ledger must say.
package cloudtest
