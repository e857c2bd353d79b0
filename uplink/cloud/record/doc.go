// Package record is what the cloud keeps: records in a log, one chain for each
// gateway, and small documents by key. It says what a log, a store of
// documents and a carrier of messages promise (Log, Feed, KV, PubSub), what the
// state in a record means (State), and which records of a chain are void.
//
// Whoever keeps records or reads them needs this package alone: the engine
// (jetstream), the sink (postgres) and the server.
package record
