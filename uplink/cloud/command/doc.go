// Package command brings commands and configurations to gateways, and what
// became of them back. Both lie in the KV that the servers of one cloud share:
// a server may die at any moment, and the one that has the gateway's next
// session goes on.
package command
