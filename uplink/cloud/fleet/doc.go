// Package fleet knows what every gateway of a cloud said of itself last, on
// whichever server it is connected, and raises alarms of what an operator should
// look at.
package fleet
