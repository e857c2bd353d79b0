// Package wire is the protocol between a gateway and its cloud as a document
// that compiles: messages, codec, limits and close codes of fieldgate.v1.
package wire
