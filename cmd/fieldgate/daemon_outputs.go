package main

import (
	"context"
	"fmt"

	"github.com/fieldgate/fieldgate/gateway"
)

// noOutputs is the executor of a gateway without outputs: it refuses every
// command by name.
type noOutputs struct{}

// Check implements command.Executor.
func (noOutputs) Check(c gateway.Command) error {
	return fmt.Errorf("this gateway has no output named %s", c.Device)
}

// Act implements command.Executor.
func (n noOutputs) Act(_ context.Context, c gateway.Command) (*float64, error) {
	return nil, n.Check(c)
}
