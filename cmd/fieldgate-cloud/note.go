package main

import (
	"fmt"
	"os"
	"os/user"
	"strconv"
	"time"

	"github.com/fieldgate/fieldgate/uplink/cloud"
	"github.com/fieldgate/fieldgate/uplink/cloud/keyring"
)

// note enters what was done on the command line into the audit log.
func note(credentials keyring.Credentials, event, gatewayID, sentence string) error {
	err := cloud.Note(credentials, cloud.AuditEntry{
		At: time.Now().UTC(), Event: event, Gateway: gatewayID, Sentence: sentence, Details: map[string]string{"user": who()},
	})
	if err != nil {
		return fmt.Errorf("it was done, but the audit log does not say so: %w", err)
	}
	return nil
}

// who is the user who ran this, and for whom sudo did.
func who() string {
	name := strconv.Itoa(os.Getuid())
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	if by := os.Getenv("SUDO_USER"); by != "" {
		name += ", by sudo from " + by
	}
	return name
}
