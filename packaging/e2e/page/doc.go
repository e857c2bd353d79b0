// Package page has the tests of the page on site in a real browser. They are a
// module of their own: no other part needs what drives the browser.
package page
