package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/cloud"
)

// gatewayCmd works on the state directory alone: a running server reads the
// credentials at every connection.
type gatewayCmd struct {
	Add    addCmd    `cmd:"" help:"Add a gateway and print its token, once."`
	List   listCmd   `cmd:"" help:"List the gateways."`
	Remove removeCmd `cmd:"" help:"Remove a gateway: it is disconnected within seconds; its readings stay."`
}

// stateFlag names the state directory.
type stateFlag struct {
	State string `required:"" type:"path" placeholder:"DIR" help:"State directory of the server."`
}

func (s stateFlag) credentials() cloud.Credentials {
	return cloud.Credentials{Dir: filepath.Join(s.State, "gateways")}
}

type addCmd struct {
	stateFlag `embed:""`
	ID        string `arg:"" help:"gateway_id: 1 to 64 of A-Z a-z 0-9 _ -."`
}

// Run prints nothing but the token on stdout, so that it can be piped.
func (c addCmd) Run(out *output) error {
	if !gateway.ValidID(c.ID) {
		return fmt.Errorf("%w: gateway id %q: want 1 to 64 of A-Z a-z 0-9 _ -", errUsage, c.ID)
	}
	token, err := c.credentials().Add(c.ID)
	if errors.Is(err, cloud.ErrGatewayExists) {
		return fmt.Errorf("%w; its token cannot be shown again: remove it first to get a new one", err)
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(out.stdout, token)
	return err
}

type removeCmd struct {
	stateFlag `embed:""`
	ID        string `arg:"" help:"gateway_id."`
}

// Run takes the credential away.
func (c removeCmd) Run() error { return c.credentials().Remove(c.ID) }

type listCmd struct {
	stateFlag `embed:""`
	JSON      bool `help:"Print JSON."`
}

// Run lists ids and when they were added.
func (c listCmd) Run(out *output) error {
	list, err := c.credentials().List()
	if err != nil {
		return err
	}
	type row struct {
		ID    string    `json:"gateway_id"`
		Added time.Time `json:"added"`
	}
	rows := []row{}
	for _, g := range list {
		rows = append(rows, row{g.ID, g.Added})
	}
	if c.JSON {
		return json.NewEncoder(out.stdout).Encode(rows)
	}
	w := tabwriter.NewWriter(out.stdout, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "GATEWAY\tADDED")
	for _, r := range rows {
		fmt.Fprintf(w, "%s\t%s\n", r.ID, r.Added.Format(time.RFC3339))
	}
	return w.Flush()
}
