package gateway

import (
	"errors"
	"fmt"
	"unicode"
	"unicode/utf8"
)

// MinToken is how many characters a token of a machine or a person has at
// least. 16 characters of the digits 0-9a-f are 64 bits: they cannot be
// guessed over a network.
const MinToken = 16

// CheckToken tells why a token cannot be used, or nil. It is the one rule for
// every token that opens a door of the gateway or of the cloud. The error
// never holds a part of the token, and reads on after "the token in FILE".
func CheckToken(token string) error {
	if !utf8.ValidString(token) {
		return errors.New("is not text in UTF-8: write it anew, in plain characters")
	}
	if n := utf8.RuneCountInString(token); n < MinToken {
		return fmt.Errorf("is too short (its length is %d): at least %d characters are needed, for example those of: openssl rand -hex 16",
			n, MinToken)
	}
	for _, r := range token {
		if unicode.IsSpace(r) || !unicode.IsPrint(r) {
			return fmt.Errorf("holds a space or a character that cannot be seen (U+%04X): write it on one line, in plain characters", r)
		}
	}
	return nil
}
