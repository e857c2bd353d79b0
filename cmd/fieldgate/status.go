package main

import (
	"context"
	"encoding/json"

	"github.com/fieldgate/fieldgate/cmd/cli"
	"github.com/fieldgate/fieldgate/gateway/control"
	"github.com/fieldgate/fieldgate/gateway/local"
)

type statusCommand struct {
	controlFlag
	JSON bool `help:"Print one JSON object: what /api/v1/status and /api/v1/channels of the page on site give."`
}

// Run asks the running gateway how it is.
func (k statusCommand) Run(ctx context.Context, c cli.Console) error {
	r, err := control.Ask[local.Report](ctx, k.client(), askStatus, nil)
	if err != nil {
		return whatToDo(err)
	}
	if k.JSON {
		return json.NewEncoder(c.Out).Encode(r)
	}
	_, err = c.Out.Write(statusText(r))
	return err
}
