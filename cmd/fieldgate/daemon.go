package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/fieldgate/fieldgate/cmd/cli"
	"github.com/fieldgate/fieldgate/drivers"
	"github.com/fieldgate/fieldgate/drivers/builtin"
	"github.com/fieldgate/fieldgate/gateway/clock"
	"github.com/fieldgate/fieldgate/gateway/command"
	"github.com/fieldgate/fieldgate/gateway/config"
	"github.com/fieldgate/fieldgate/gateway/control"
	"github.com/fieldgate/fieldgate/gateway/health"
	"github.com/fieldgate/fieldgate/gateway/live"
	"github.com/fieldgate/fieldgate/gateway/local"
	"github.com/fieldgate/fieldgate/gateway/netwatch"
	"github.com/fieldgate/fieldgate/gateway/pipeline"
	"github.com/fieldgate/fieldgate/gateway/remoteconfig"
	"github.com/fieldgate/fieldgate/gateway/sample"
	"github.com/fieldgate/fieldgate/store"
	"github.com/fieldgate/fieldgate/systemd"
	"github.com/fieldgate/fieldgate/uplink"
	"github.com/fieldgate/fieldgate/uplink/identity"
)

// stopWithin bounds an orderly stop; the unit's TimeoutStopSec is above it.
const stopWithin = 10 * time.Second

// settleWithin is how much of that a card that takes nothing may cost.
const settleWithin = 5 * time.Second

// A daemon is one gateway: every part, in the order in which a reading flows.
// The fields above the empty line are set by the caller.
type daemon struct {
	cfg     *config.Config
	remote  *remoteconfig.Manager                                             // what the cloud configures; nil: nothing
	trial   bool                                                              // cfg is on trial, and changes how the cloud is reached
	before  config.Uplink                                                     // what reached the cloud before
	base    *config.Config                                                    // what the board's own files say
	dial    func(ctx context.Context, network, addr string) (net.Conn, error) // how the uplink connects; nil: over the network
	scene   func(config.Device, drivers.Quantity) drivers.Curve               // how simulated devices move; nil: as scene has it
	log     *slog.Logger
	hangUps <-chan os.Signal // SIGHUPs; nil: none come
	lost    func() uint64    // lines of the log that nobody read; nil: not known

	controlAt string // path of the socket for the command line tools; "": none

	began    time.Time
	id       string
	health   *health.Table
	clock    *clock.Clock
	store    *store.Store
	live     *live.Hub
	pipe     *pipeline.Pipeline
	commands *command.Dispatcher
	rack     *rack
	sampler  *sample.Sampler
	sensors  *noted                // what happened to devices, and is no event yet
	resumed  map[[2]string]resumed // totals, by device and quantity
	uplink   *uplink.Uplink
	local    *local.Server
	control  *control.Server

	ca, proxyCA func() (trust, error) // the newest that can be used
	credential  *identity.Store
	ends        *ends // of certificates
}

// start builds every part, in the order in which a reading flows. Nothing here
// waits for the network, and nothing is read before run.
func (d *daemon) start() (err error) {
	d.began = time.Now()
	if err := d.startBasis(); err != nil {
		return err
	}
	// The store comes before whatever fills or empties it. It begins a new epoch
	// here. If power dies before the first reading, that epoch is known, and empty.
	if d.store, err = d.openStore(); err != nil {
		return err
	}
	// From here on a start that fails closes the store: else the next try, in this
	// same process, would find its folder locked.
	defer func() {
		if err != nil {
			err = errors.Join(err, d.store.Close())
		}
	}()
	// The pipeline knows the store and the screens, and nothing of the uplink: what
	// reaches the cloud comes from the store alone.
	d.live = live.New()
	d.pipe = pipeline.New(pipeline.Options{Outbox: d.store, Live: d.live, Health: d.health, Channels: treatments(d.cfg)})
	d.sampler = d.newSampler()
	// The outbox joins two parts that do not know each other: the dispatcher puts
	// results in, the uplink takes them out.
	outgoing := uplink.NewOutbox()
	d.commands = command.New(command.Options{Records: d.store, Executor: noOutputs{}, Clock: d.clock, Tell: outgoing.Result, Log: d.log})
	if d.uplink, err = d.newUplink(outgoing); err != nil {
		return err
	}
	// The page and the command line tools show all the others, so they come last.
	d.local = d.newLocal()
	d.control = control.New(control.Options{Path: d.controlAt, Routes: d.routes(), Conditions: d.health, Log: d.log})
	return nil
}

// startBasis makes what all parts report to, and the time: the store notes with
// it when it was opened.
func (d *daemon) startBasis() (err error) {
	if d.id = d.cfg.Gateway.ID; d.id == "" {
		if d.id, err = config.DerivedID("/"); err != nil {
			return err
		}
	}
	d.health = health.New(d.log)
	d.clock, err = clock.New("/", d.log)
	return err
}

func (d *daemon) openStore() (*store.Store, error) {
	cfg, table := d.cfg, builtin.Drivers()
	return store.Open(store.Options{
		Dir: cfg.Store.Dir, FlushInterval: cfg.Store.FlushInterval, HistoryFlush: cfg.Store.HistoryFlush,
		History: cfg.Store.History, MaxSize: int64(cfg.Store.MaxSize), MinFree: int64(cfg.Store.MinFree), ThinInterval: cfg.Store.ThinInterval,
		Rate: cfg.Rate(table), Burst: cfg.Channels(table), Totals: totals(cfg, table),
		Clock: d.clock, Conditions: d.health, Log: d.log, VerifyState: verifyState,
	})
}

func (d *daemon) newSampler() *sample.Sampler {
	d.rack, d.sensors = newRack(d.cfg.Devices), &noted{}
	if d.scene != nil {
		d.rack.scene = d.scene
	}
	plan := d.rack.plan()
	d.resume(plan)
	return sample.New(sample.Options{Devices: plan, OpenBus: d.rack.openBus, Sink: d.pipe,
		Stamp: d.clock.Stamp, Health: d.health, Tell: d.sensorEvent, Lost: d.pulsesLost})
}

// newUplink also begins to keep the files that prove who the cloud and who the
// gateway is: the uplink asks for the newest at each connection.
func (d *daemon) newUplink(outgoing uplink.Outbox) (*uplink.Uplink, error) {
	cfg := d.cfg
	d.ca = keptTrust(cfg.Uplink.CA, "the authority of the cloud", d.log)
	d.proxyCA = keptTrust(cfg.Uplink.ProxyCA, "the authority of the proxy", d.log)
	d.credential, d.ends = credentialStore(cfg, d.log), &ends{}
	return uplink.New(uplink.Options{
		Route: uplink.Route{
			URL: cfg.Uplink.URL, URLs: cfg.Uplink.URLs, Authorities: pool(d.ca), Proxy: proxyAddress(cfg.Uplink), ProxyAuthorities: pool(d.proxyCA),
			JSON: cfg.Uplink.Encoding == "json", Unacknowledged: cfg.Uplink.Unacknowledged, Dial: d.dial,
		},
		Identity: uplink.Identity{GatewayID: d.id, InstallID: d.store.InstallID(), Software: "fieldgate/" + cli.Version(),
			Credential: d.credential},
		Store: uplink.Store{
			Source: d.store, Waiting: d.waiting, Kept: d.store.Kept(), Keep: d.store.Keep,
			Budget: uplink.Budget{Limit: int64(cfg.Uplink.Budget), Floor: cfg.Uplink.BudgetFloor},
		},
		Handlers:   uplink.Handlers{Commands: d.commands, Config: d.configurer(outgoing), Outgoing: outgoing, Report: d.report},
		Time:       uplink.Time{Clock: d.clock, Floor: d.floor, CloudTime: d.store.SetCloudTime, SessionTime: d.clock.SessionTime},
		Conditions: d.health, Log: d.log,
	})
}

func (d *daemon) newLocal() *local.Server {
	cfg := d.cfg.Local
	return local.New(local.Options{
		Listen: cfg.Listen, View: cfg.View, Token: localToken(cfg), Hosts: cfg.Hosts,
		GatewayID: d.id, Hub: d.live, Clock: d.clock, History: d.store, Status: d.status, Conditions: d.health, Log: d.log,
	})
}

// run does the gateway's work until ctx is done or a part fails. Stopping
// follows the reading: what makes readings ends first, the store last.
func (d *daemon) run(ctx context.Context) error {
	failed := make(chan error, 10)
	keeping := launch("store", d.store.Run, failed)
	timing := launch("clock", d.keepTime, failed)
	acting := launch("commands", d.commands.Run, failed)
	noting := launch("events of devices", d.noteSensors, failed)
	sampling := launch("sampling", d.sampler.Run, failed)
	sending := launch("uplink", d.uplink.Run, failed)
	waking := launch("network watch", d.watchLinks, failed)
	serving := launch("local API", d.local.Run, failed)
	controlling := launch("control socket", d.control.Run, failed)
	configuring := launch("configuration", d.keepConfig, failed)
	certifying := launch("certificates", d.watchCertificates, failed)
	d.log.Info("gateway is running", "id", d.id, "version", cli.Version(), "devices", len(d.cfg.Devices),
		"dashboard", dashboardURL(d.local.Addr()), "store", filepath.Clean(d.cfg.Store.Dir))
	err := systemd.Ready(d.summary())
	if err == nil {
		err = d.watch(ctx, failed)
	}

	if !errors.Is(err, remoteconfig.ErrRestart) {
		systemd.Stopping()
	}
	// The steps of the stop get a time of their own: ctx may be done. First what
	// makes readings and results ends, so that nothing new comes below.
	deadline, cancel := context.WithTimeout(context.Background(), stopWithin)
	defer cancel()
	for _, p := range []*part{certifying, configuring, controlling, sampling, noting, acting} {
		err = errors.Join(err, p.stop(deadline))
	}
	d.settle(deadline) // before the line ends: it may be the only way out of memory
	for _, p := range []*part{timing, waking, sending, serving, keeping} {
		err = errors.Join(err, p.stop(deadline))
	}
	err = errors.Join(err, d.store.Close())
	d.log.Info("gateway has stopped", "unacknowledged", d.store.Stats().Unacked)
	return err
}

// settle waits until what is in memory alone is on the card, or, if that takes
// nothing, with the cloud: as long as there is a line, for a part of the time
// that a stop may take.
func (d *daemon) settle(deadline context.Context) {
	ctx, cancel := context.WithTimeout(deadline, settleWithin)
	defer cancel()
	left := make(chan uint64, 1)
	go func() { left <- d.store.Settle(ctx) }()
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case n := <-left:
			if n > 0 {
				d.log.Warn("the card does not take the last readings, and the cloud has not acknowledged them yet", "readings", n)
			}
			return
		case <-ticker.C:
			if d.store.Stats().Failing && !d.uplink.Status().State.Connected() {
				cancel()
			}
		}
	}
}

// watchLinks lets the uplink try at once when the network comes up.
func (d *daemon) watchLinks(ctx context.Context) error {
	return netwatch.Run(ctx, d.uplink.Wake, d.log)
}

// watch keeps the unit's status line true until ctx is done or a part fails.
func (d *daemon) watch(ctx context.Context, failed <-chan error) error {
	ticker := time.NewTicker(10 * time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-failed:
			return err
		case <-d.health.Changed():
		case <-ticker.C:
		}
		systemd.Status(d.summary())
	}
}

// dashboardURL is what a person types: a server that listens everywhere is
// reached by the board's name.
func dashboardURL(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		if name, err := os.Hostname(); err == nil {
			host = name
		}
	}
	return "http://" + net.JoinHostPort(host, port) + "/"
}
