// Package live shows operators the newest readings of gateways: a hub hears of
// every live update, from whichever server stored it, and passes on to each
// client what the client wants to hear. A client that is slow loses the older
// readings of a channel first, and is told how many.
package live
