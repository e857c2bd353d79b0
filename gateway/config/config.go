// Package config turns TOML files into a typed and validated configuration,
// and explains a bad one in full: every problem with its line and column. The
// types below are the manual: the tags of a field hold its default, its
// bounds and its meaning, and nothing else in the program has a default.
package config

import "time"

// A Config is a whole, valid configuration. No part of the program sees it
// but the one that wires the parts together.
type Config struct {
	Version int64    `toml:"version" doc:"Version of this file's format: 1. Must be set."`
	Gateway Gateway  `toml:"gateway"`
	Uplink  Uplink   `toml:"uplink"`
	Store   Store    `toml:"store"`
	Local   Local    `toml:"local"`
	Devices []Device `toml:"device"`

	// Notes is what works today, but is not meant: keys that were taken away.
	// The next release refuses them.
	Notes Problems
}

// Gateway is the table [gateway].
type Gateway struct {
	ID string `toml:"id" form:"id" doc:"Name of this board for the cloud and on the screen: 1 to 64 of A-Z a-z 0-9 _ -. Without it: derived from /etc/machine-id by a hash."`
}

// Uplink is the table [uplink]. Without a url the gateway works locally only.
type Uplink struct {
	URL            string        `toml:"url" form:"wss" doc:"Where the cloud takes readings: wss://HOST[:PORT]/PATH. Without it nothing leaves the board; readings are kept within the limits of [store]."`
	URLs           []string      `toml:"urls" form:"wss" doc:"Further addresses of the same cloud, tried in this order when url fails. Only with url, which is gone back to."`
	Proxy          string        `toml:"proxy" form:"proxy" doc:"Proxy to go through: http://HOST:PORT, https://HOST:PORT or socks5://HOST:PORT, each with USER:PASSWORD@ before HOST if it wants a login. Who may read this file reads the password too: see proxy_file."`
	ProxyFile      string        `toml:"proxy_file" form:"path" doc:"File that holds what proxy would, for a proxy with a password. Read when the daemon connects; for its owner alone (mode 0600)."`
	ProxyCA        string        `toml:"proxy_ca" form:"path" doc:"PEM file with the authority that signed the certificate of an https:// proxy. Without it: the system's authorities."`
	Budget         Size          `toml:"budget" default:"0B" min:"0B" doc:"Bytes that the line may cost in a month, both directions and TCP/IP included, such as 500MiB. Spread evenly over the month: what is beyond first holds back the backlog, then slows live down to budget_floor, events never. 0B: no bound."`
	BudgetFloor    time.Duration `toml:"budget_floor" default:"60s" min:"1s" max:"1h" doc:"Time between two live updates when the budget is exceeded."`
	Encoding       string        `toml:"encoding" default:"cbor" oneof:"cbor json" doc:"How the cloud is spoken to: cbor (what it prefers of the two; blocks as they are stored) or json (rows; for clouds that read nothing else; some twenty times the bytes)."`
	Unacknowledged bool          `toml:"unacknowledged" default:"false" doc:"The server at url is a plain WebSocket server that acknowledges nothing. Each reading is sent at most once, as a JSON object, and nobody can tell whether it arrived: what was on its way when a line breaks is not sent again, and the status counts it (perhaps_lost). Only after a kill or a power cut comes again what was sent since the card was last written. Only with this may url begin with ws://."`
	TokenFile      string        `toml:"token_file" form:"path" doc:"File with the bearer token that fieldgate-cloud gateway add printed, for its owner alone (mode 0600). The daemon takes it over into its state directory and exchanges it in time; another token in the file is taken over again. Not needed after fieldgate enroll."`
	Rotate         time.Duration `toml:"rotate" default:"90d" min:"0s" doc:"Age at which the daemon exchanges a token for the next one; 0s: never. Certificates are exchanged at two thirds of their life."`
	CA             string        `toml:"ca" form:"path" doc:"PEM file with the authority that signed the cloud's certificate. Without it: the system's authorities."`
}

// Store is the table [store].
type Store struct {
	Dir           string        `toml:"dir" default:"/var/lib/fieldgate" form:"path" doc:"Where the daemon keeps what it writes. The service may write nowhere else."`
	FlushInterval time.Duration `toml:"flush_interval" default:"5s" min:"0s" max:"1h" doc:"Age at which readings that the cloud does not yet hold go to the card. A power cut costs at most these. Shorter wears the card more; 0s: every reading is on the card before anything else happens to it."`
	HistoryFlush  time.Duration `toml:"history_flush" default:"10m" min:"1s" max:"1d" doc:"The same for readings that the cloud holds already: a power cut costs the local history this much, the cloud nothing."`
	MaxSize       Size          `toml:"max_size" default:"1GiB" min:"16MiB" doc:"Most that the store takes on the card. Beyond it the oldest goes first: what the cloud holds, then the detail of what it lacks (thin_interval), then that itself."`
	ThinInterval  time.Duration `toml:"thin_interval" default:"1m" min:"0s" max:"1d" doc:"When max_size or min_free leave no room, the oldest readings that the cloud lacks are first reduced to count, least, greatest and mean value per channel and this interval. 0s: they are dropped as they are."`
	MinFree       Size          `toml:"min_free" default:"256MiB" min:"0B" doc:"Free space on the file system that the store leaves to others."`
	Endurance     Size          `toml:"endurance" default:"0B" min:"0B" doc:"What the card is made for, in bytes written over its life (its maker's TBW), such as 30TiB. With it the status tells how long the card will last; 0B: it does not."`
	History       time.Duration `toml:"history" default:"30d" min:"0s" doc:"Age up to which readings that the cloud holds stay on the card for the dashboard."`
}

// Local is the table [local].
type Local struct {
	Listen    string   `toml:"listen" default:":8080" form:"listen" doc:"Address of the dashboard and the local API: [HOST]:PORT. Without HOST every network of the board reaches it."`
	View      string   `toml:"view" default:"login" oneof:"login open" doc:"Who may look: login (a login or the token) or open (everybody who reaches the address). Acting always needs a role."`
	TokenFile string   `toml:"token_file" form:"path" doc:"File with the token that opens /ws and /api for programs. Without it no token does."`
	Hosts     []string `toml:"hosts" form:"host" doc:"Names by which browsers may call this board beside its own host name and addresses; any other Host is refused."`
}

// Device is one [[device]]: a sensor or an actuator.
type Device struct {
	ID        string         `toml:"id" form:"id" required:"a name that no other device has" doc:"Name of the device, unique on this gateway: 1 to 64 of A-Z a-z 0-9 _ -."`
	Driver    string         `toml:"driver" required:"the name of a driver, such as \"lm75\"" doc:"Which driver reads it."`
	Bus       string         `toml:"bus" form:"bus" doc:"The I2C bus that it is on: i2c-N is /dev/i2c-N, sim-N is simulated. Only for drivers on I2C, which need it."`
	Address   int64          `toml:"address" doc:"Its I2C address. Without it: the driver's usual one."`
	Line      string         `toml:"line" doc:"Name of its GPIO line, such as GPIO17. Only for drivers on GPIO, which need it."`
	Chip      string         `toml:"chip" doc:"Label of the GPIO chip that has the line. Without it: the chip on which a line of that name is found."`
	ActiveLow bool           `toml:"active_low" default:"false" doc:"Whether a low GPIO line means on, 1."`
	Interval  time.Duration  `toml:"interval" min:"10ms" max:"1d" doc:"Time between two visits. Without it: the driver's usual one."`
	Timeout   time.Duration  `toml:"timeout" min:"1ms" max:"1m" doc:"Longest that one visit may take before it counts as failed. Without it: the driver's usual one."`
	Channels  []Channel      `toml:"channel"`
	Options   map[string]any // the driver's own keys, defaults filled in: bool, int64 or string
}

// Channel is one [[device.channel]]: how one quantity of the device is
// treated. A quantity without it is stored as it is read.
type Channel struct {
	Quantity   string        `toml:"quantity" form:"id" required:"which quantity of the device it is about" doc:"Which quantity of the device, by the driver's name for it."`
	Offset     float64       `toml:"offset" default:"0" doc:"Added to the value after scale, in the channel's unit."`
	Scale      float64       `toml:"scale" default:"1" doc:"What the raw value is multiplied by. Not 0."`
	Deadband   float64       `toml:"deadband" default:"0" min:"0" doc:"A value is left out while it differs by no more than this from the last one kept, in the channel's unit. 0 keeps every value."`
	MaxSilence time.Duration `toml:"max_silence" default:"60s" min:"0s" max:"1d" doc:"With a deadband: longest that a channel leaves values out. 0s: without limit."`
	Range      *Range        `toml:"range" doc:"[lowest, highest] value that is plausible, after scale and offset. A value outside is kept, with quality out_of_range."`
}

// A Range is [lowest, highest].
type Range [2]float64

// A BusKind is what a driver needs to be joined to.
type BusKind string

// The kinds of bus.
const (
	BusI2C  BusKind = "i2c"
	BusGPIO BusKind = "gpio"
	BusNone BusKind = "" // the board itself
)

// A Driver is what the configuration has to know of a driver, as data.
type Driver struct {
	Name       string
	Bus        BusKind
	Addresses  []uint16 // I2C addresses that the chip can have; nil: any
	Address    uint16   // without "address"; 0: it must be set
	Interval   time.Duration
	Timeout    time.Duration
	Quantities []string // nil: only known when the device is open
	Channels   int      // most quantities that a visit gives; 0: len(Quantities)
	Options    []Option
}

// An Option is a driver's own key in [[device]].
type Option struct {
	Name    string
	Default any   // bool, int64 or string: the type that the key must have
	OneOf   []any // nil: any value of that type
}

// rateMargin is for visits beside the schedule: a device that comes back is
// read at once, at most once per visit that failed.
const rateMargin = 2

// Rate bounds the readings that the gateway takes: in any span of t seconds
// at most Rate()*t + Channels(). table is the one given to Load.
func (c *Config) Rate(table []Driver) float64 {
	var perSecond float64
	for _, d := range c.Devices {
		perSecond += rateMargin * float64(channels(d.Driver, table)) / d.Interval.Seconds()
	}
	return perSecond
}

// Channels is the most channels that the devices have together.
func (c *Config) Channels(table []Driver) int {
	n := 0
	for _, d := range c.Devices {
		n += channels(d.Driver, table)
	}
	return n
}

func channels(driver string, table []Driver) int {
	for _, d := range table {
		if d.Name == driver {
			return max(d.Channels, len(d.Quantities))
		}
	}
	return 0
}
