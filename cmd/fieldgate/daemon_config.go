package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/url"
	"reflect"
	"time"

	"github.com/fieldgate/fieldgate/drivers/builtin"
	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/config"
	"github.com/fieldgate/fieldgate/gateway/local"
	"github.com/fieldgate/fieldgate/gateway/remoteconfig"
	"github.com/fieldgate/fieldgate/uplink"
)

// configFile, in the store's folder, holds the configuration that the cloud
// desires. Without it the board's own files count.
const configFile = "config.json"

const probeWithin = 5 * time.Second

// choose takes the configuration that is to be in force.
func (d *daemon) choose() (err error) {
	desired, onTrial := d.remote.Begin()
	if d.cfg, err = overlaid(d.base, desired); err != nil {
		return err
	}
	if desired != nil {
		d.log.Info("running by the configuration of the cloud; what it does not speak of comes from the board's own file", "version", desired.Ver)
		tellNotes(d.cfg, d.log)
	}
	before, err := overlaid(d.base, d.remote.Confirmed())
	if err != nil {
		before = d.base
	}
	d.before, d.trial = before.Uplink, onTrial && !reflect.DeepEqual(before.Uplink, d.cfg.Uplink)
	return nil
}

// overlaid lays what the cloud desires over the board's own configuration,
// which is also given with an error.
func overlaid(base *config.Config, desired *gateway.DesiredConfig) (*config.Config, error) {
	if desired == nil {
		return base, nil
	}
	return config.Overlay(fmt.Sprintf("version %d of the cloud", desired.Ver), []byte(desired.Doc), base, builtin.Drivers())
}

// configurer joins the remote configuration to the uplink; nil where there is none.
func (d *daemon) configurer(out uplink.Outbox) uplink.Configurer {
	if d.remote == nil {
		return nil
	}
	d.remote.Use(remoteconfig.Parts{
		Check: func(desired gateway.DesiredConfig) error {
			_, err := overlaid(d.base, &desired)
			return err
		},
		Tell:    func(o gateway.ConfigOutcome) { d.tellConfig(o, out) },
		Confirm: d.trial, Reachable: d.reachable,
	})
	return d.remote
}

// tellConfig makes an outcome an event, and tells the cloud at once.
func (d *daemon) tellConfig(o gateway.ConfigOutcome, out uplink.Outbox) {
	body, err := json.Marshal(o)
	if err == nil {
		_, err = d.store.AddEvent(gateway.Event{Kind: gateway.EventConfig, Body: body})
	}
	if err != nil { // the store has it in RAM, and tells of the card itself
		d.log.Warn("what became of the cloud's configuration is not on the card yet", "version", o.Ver, "error", err)
	}
	out.Report(o)
}

// configStatus tells on site what the cloud configures.
func (d *daemon) configStatus() *local.Config {
	if d.remote == nil {
		return nil
	}
	k := d.remote.State()
	c := &local.Config{Version: k.Ver, OnTrial: k.OnTrial}
	if r := k.Refused; r != nil {
		c.Refused = &local.RefusedConfig{Version: r.Ver, State: string(r.State), Errors: r.Errors}
	}
	return c
}

// keepConfig is the part that tries, confirms and rolls back.
func (d *daemon) keepConfig(ctx context.Context) error {
	if d.remote == nil {
		<-ctx.Done()
		return nil
	}
	return d.remote.Run(ctx)
}

// reachable tells whether the way by which the cloud was reached before is
// still there: its server, or the proxy before it, takes a connection.
func (d *daemon) reachable(ctx context.Context) bool {
	host := ""
	if at, err := url.Parse(d.before.URL); err == nil && at.Hostname() != "" {
		host = net.JoinHostPort(at.Hostname(), cmp.Or(at.Port(), map[string]string{"ws": "80"}[at.Scheme], "443"))
	}
	if proxy := proxyAddress(d.before); proxy != nil {
		if text, err := proxy(); err == nil && text != "" {
			via, err := gateway.ParseProxy(text)
			if err != nil {
				return false
			}
			host = via.Host
		}
	}
	if host == "" {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, probeWithin)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", host)
	if err != nil {
		return false
	}
	_ = conn.Close() // it answered: that is all
	return true
}
