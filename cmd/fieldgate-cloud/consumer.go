package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"text/tabwriter"
	"time"

	"github.com/fieldgate/fieldgate/cmd/cli"
)

// consumerCmd is about those for whom the log waits: with --keep it deletes
// nothing that one of them has not passed.
type consumerCmd struct {
	List   consumersCmd `cmd:"" help:"List the consumers of the log: how far behind each is, and since when the log waits for it."`
	Forget forgetCmd    `cmd:"" help:"Forget a consumer that nobody uses any more: the log waits for it no longer."`
}

// A consumer is what the API says of one.
type consumer struct {
	Name   string     `json:"name"`
	Behind uint64     `json:"behind"`
	Since  *time.Time `json:"since"`
	Used   bool       `json:"used"`
	Seen   *time.Time `json:"seen"`
	Needed bool       `json:"needed"`
}

type consumersCmd struct {
	apiFlags
	JSON bool `help:"Print JSON."`
}

// Run asks the server that runs.
func (c consumersCmd) Run(ctx context.Context, con cli.Console) error {
	api, err := c.open()
	if err != nil {
		return err
	}
	var answer struct {
		Consumers []consumer `json:"consumers"`
	}
	if err := api.do(ctx, http.MethodGet, "/v1/consumers", nil, &answer); err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(con.Out).Encode(answer.Consumers)
	}
	w := tabwriter.NewWriter(con.Out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "CONSUMER\tUSED\tBEHIND\tHOLDS BACK SINCE\tLAST HEARD OF")
	for _, x := range answer.Consumers {
		used := "no"
		switch {
		case x.Needed:
			used = "by the server itself"
		case x.Used:
			used = "yes"
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\n", x.Name, used, x.Behind, when(x.Since), when(x.Seen))
	}
	return w.Flush()
}

func when(t *time.Time) string {
	if t == nil {
		return "-"
	}
	return t.Format(time.RFC3339)
}

type forgetCmd struct {
	apiFlags
	Name string `arg:"" help:"Name of the consumer, as consumer list shows it."`
}

// Run asks the server that runs: it alone can write to its log.
func (c forgetCmd) Run(ctx context.Context, con cli.Console) error {
	api, err := c.open()
	if err != nil {
		return err
	}
	var was consumer
	if err := api.do(ctx, http.MethodDelete, "/v1/consumers/"+url.PathEscape(c.Name), nil, &was); err != nil {
		return err
	}
	_, err = fmt.Fprintf(con.Out, "%s is forgotten; it had not passed %d records. "+
		"Used again, it begins with the oldest that the log then has.\n", was.Name, was.Behind)
	return err
}
