// Package config turns TOML files into a typed and validated configuration,
// and explains a bad one in full: every problem with its line and column. The
// types below are the manual: the tags of a field hold its default, its
// bounds, its unit and its meaning, and nothing else in the program has a
// default. packaging/doc/configuration.md and packaging/fieldgate.toml are
// made of them: make reference.
package config

import (
	"time"

	"github.com/fieldgate/fieldgate/drivers"
)

// A Config is a whole, valid configuration. No part of the program sees it
// but the one that wires the parts together.
//
// Tags of the fields: toml is the key, doc its meaning, default its default,
// min, max, oneof and form what it may be, required what to write if it is
// missing, unit the unit of a plain number. ship is the value that the shipped
// file sets, example the one that it shows in a comment.
type Config struct {
	Version int64    `toml:"version" ship:"1" doc:"Version of the format of this file: 1. Must be set."`
	Gateway Gateway  `toml:"gateway" doc:"The gateway itself."`
	Uplink  Uplink   `toml:"uplink" doc:"Where readings go. Without url they stay on the board."`
	Store   Store    `toml:"store" doc:"How readings are kept on the card."`
	Local   Local    `toml:"local" doc:"The page, /ws and /api on the local network."`
	Devices []Device `toml:"device" doc:"What is read: one table for each device."`

	// Notes is what works today, but is not meant: keys that were taken away.
	// The next release refuses them.
	Notes Problems
}

// Gateway is the table [gateway].
type Gateway struct {
	ID string `toml:"id" form:"id" example:"\"plant-7\"" doc:"Name of this board for the cloud and on the page: 1 to 64 of A-Z a-z 0-9 _ -. Without it: a hash of /etc/machine-id."`
}

// Uplink is the table [uplink]. Without a url the gateway works locally only.
type Uplink struct {
	URL            string        `toml:"url" form:"wss" example:"\"wss://cloud.example.com:8443/v1/gateway\"" doc:"Address of the cloud: wss://HOST[:PORT]/PATH. Without it nothing leaves the board. Readings are kept within the limits of [store]."`
	URLs           []string      `toml:"urls" form:"wss" example:"[\"wss://second.example.com:8443/v1/gateway\"]" doc:"Further addresses of the same cloud. They are tried in this order when url fails; later the gateway goes back to url."`
	Proxy          string        `toml:"proxy" form:"proxy" example:"\"http://proxy.example.com:3128\"" doc:"Proxy to go through: http://HOST:PORT, https://HOST:PORT or socks5://HOST:PORT. A login goes before HOST: USER:PASSWORD@. Everybody who may read this file reads the password too: use proxy_file."`
	ProxyFile      string        `toml:"proxy_file" form:"path" example:"\"/etc/fieldgate/proxy\"" doc:"File that holds the address of a proxy with a password. It must be its owner's alone (mode 0600). It is read at each connection."`
	ProxyCA        string        `toml:"proxy_ca" form:"path" example:"\"/etc/fieldgate/proxy-ca.pem\"" doc:"PEM file with the authority that signed the certificate of an https:// proxy. Without it: the authorities of the system."`
	Budget         Size          `toml:"budget" default:"0B" min:"0B" example:"\"500MiB\"" doc:"What the line may carry in a month, both ways, TCP/IP included. It is spread evenly over the month. Beyond it the backlog waits first, then live readings slow down to budget_floor. Events are always sent. 0B: no limit."`
	BudgetFloor    time.Duration `toml:"budget_floor" default:"60s" min:"1s" max:"1h" doc:"Time between two messages with live readings when the budget is used up."`
	Encoding       string        `toml:"encoding" default:"cbor" oneof:"cbor json" doc:"How the gateway speaks to the cloud. cbor: blocks as they are stored. json: rows, for clouds that read nothing else; some twenty times the bytes."`
	Unacknowledged bool          `toml:"unacknowledged" default:"false" doc:"The server at url is a plain WebSocket server that acknowledges nothing. Each reading is sent at most once, as a JSON object. Nobody can tell whether it arrived. What was on its way when a line broke is not sent again; the status counts it (perhaps_lost). After a kill or a power cut, what was sent since the card was last written is sent again. Only with this key may url begin with ws://."`
	TokenFile      string        `toml:"token_file" form:"path" example:"\"/etc/fieldgate/uplink.token\"" doc:"File with the token that fieldgate-cloud gateway add printed. It must belong to user fieldgate, mode 0600. The gateway copies the token into its state folder and renews it in time. A new token in the file is taken again. Not needed after fieldgate enroll."`
	Rotate         time.Duration `toml:"rotate" default:"90d" min:"0s" doc:"Age at which the gateway exchanges its token for the next one. 0s: never. Certificates are exchanged at two thirds of their life."`
	CA             string        `toml:"ca" form:"path" example:"\"/etc/fieldgate/cloud-ca.pem\"" doc:"PEM file with the authority that signed the certificate of the cloud. Without it: the authorities of the system."`
}

// Store is the table [store].
type Store struct {
	Dir           string        `toml:"dir" default:"/var/lib/fieldgate" form:"path" doc:"Folder for everything that the program writes. The service may write nowhere else."`
	FlushInterval time.Duration `toml:"flush_interval" default:"5s" min:"0s" max:"1h" ship:"\"5s\"" doc:"Age at which readings that the cloud does not have are written to the card. A power cut costs at most these. A shorter time wears the card more. 0s: each reading is on the card before anything else happens to it."`
	HistoryFlush  time.Duration `toml:"history_flush" default:"10m" min:"1s" max:"1d" doc:"The same for readings that the cloud has. A power cut costs the history on the board this much, and the cloud nothing."`
	MaxSize       Size          `toml:"max_size" default:"1GiB" min:"16MiB" doc:"What the store takes on the card at most. Beyond it the oldest readings go first: those that the cloud has, then the detail of those that it lacks (thin_interval), then those."`
	ThinInterval  time.Duration `toml:"thin_interval" default:"1m" min:"0s" max:"1d" doc:"When there is no room (max_size, min_free), the oldest readings that the cloud lacks are reduced to summaries. A summary has count, least, greatest and mean value of a channel in this interval. 0s: they are dropped."`
	MinFree       Size          `toml:"min_free" default:"256MiB" min:"0B" doc:"Free space that the store leaves to others on the file system, but never more than an eighth of it."`
	Endurance     Size          `toml:"endurance" default:"0B" min:"0B" example:"\"30TiB\"" doc:"How many bytes the maker of the card promises that it can write over its life (TBW). With it the status says how long the card will last. 0B: it does not."`
	History       time.Duration `toml:"history" default:"30d" min:"0s" doc:"How long readings that the cloud has stay on the card for the history on the board."`
}

// Local is the table [local].
type Local struct {
	Listen    string   `toml:"listen" default:":8080" form:"listen" ship:"\":8080\"" doc:"Address of the page and the API: [HOST]:PORT. Without HOST every network of the board reaches it."`
	View      string   `toml:"view" default:"login" oneof:"login open" ship:"\"login\"" doc:"Who may look. login: only with the token. In a browser, http://BOARD:8080/#token=… signs in. open: everybody who reaches the address. Acting always needs a role."`
	TokenFile string   `toml:"token_file" form:"path" ship:"\"/etc/fieldgate/local.token\"" doc:"File with the token that opens the page, /ws and /api. The package makes it; sudo cat shows it. Without it there is no token. Programs send it as \"Authorization: Bearer …\", or as /ws?token=…."`
	Hosts     []string `toml:"hosts" form:"host" example:"[\"plant-7.example.com\"]" doc:"Further names by which browsers may call this board. Its host name and its addresses are always allowed; every other name is refused."`
}

// Device is one [[device]]: a sensor or an actuator.
type Device struct {
	ID        string         `toml:"id" form:"id" required:"a name that no other device has" example:"\"boiler\"" doc:"Name of the device, unique on this gateway: 1 to 64 of A-Z a-z 0-9 _ -."`
	Driver    string         `toml:"driver" required:"the name of a driver, such as \"lm75\"" example:"\"lm75\"" doc:"Which driver reads it."`
	Bus       string         `toml:"bus" form:"bus" example:"\"i2c-1\"" doc:"The bus that it is on. i2c-N is the I2C bus /dev/i2c-N; i2c-N/0x70/C is channel C of the multiplexer (PCA9548, TCA9548A) at 0x70 on it; spi-N.C is the SPI port /dev/spidevN.C; sim-N and sim-spi-N.C are simulated. Drivers on I2C and SPI need it; others may not have it."`
	Address   int64          `toml:"address" example:"0x48" doc:"Its I2C address. Without it: the usual one of the driver."`
	Line      string         `toml:"line" example:"\"GPIO17\"" doc:"Name of its GPIO line. On the chip sim a path names a named pipe that moves the line: 1 makes it high, 0 low. Drivers on GPIO need it; others may not have it."`
	Chip      string         `toml:"chip" example:"\"pinctrl-bcm2835\"" doc:"Label of the GPIO chip that has the line. Without it: the chip that has a line of this name."`
	ActiveLow bool           `toml:"active_low" default:"false" doc:"Whether a low GPIO line means on, 1."`
	Interval  time.Duration  `toml:"interval" min:"10ms" max:"1d" example:"\"1s\"" doc:"Time between two visits. Without it: the usual one of the driver."`
	Timeout   time.Duration  `toml:"timeout" min:"1ms" max:"1m" example:"\"1s\"" doc:"How long one visit may take before it counts as failed. Without it: the usual one of the driver."`
	Power     Power          `toml:"power" doc:"A GPIO line that switches the supply of the device. A device that does not come back by itself is switched off and on. The line is on from the start of the program; it is left on at its end. Each time is an event."`
	Channels  []Channel      `toml:"channel" doc:"How one quantity of the device is treated. A quantity without such a table is stored as it is read."`
	Options   map[string]any // the driver's own keys, defaults filled in: bool, int64, float64 or string
}

// Power is the table power of a device: what switches its supply.
type Power struct {
	Line      string        `toml:"line" form:"line" required:"the name of the GPIO line that switches the supply" example:"\"GPIO5\"" doc:"Name of the GPIO line. No other device may use it."`
	Chip      string        `toml:"chip" example:"\"pinctrl-bcm2835\"" doc:"Label of the GPIO chip that has the line. Without it: the chip that has a line of this name."`
	ActiveLow bool          `toml:"active_low" default:"false" doc:"Whether a low line switches the supply on."`
	Off       time.Duration `toml:"off" default:"2s" min:"100ms" max:"10m" doc:"How long the supply is off."`
	After     int64         `toml:"after" default:"3" min:"1" max:"1000" doc:"How many times the device is opened in vain before its supply is switched off."`
	AtMost    string        `toml:"at_most" default:"1/10m" form:"often" doc:"How often the supply is switched off at most: N/TIME. 1/10m is once in ten minutes."`
}

// Channel is one [[device.channel]]: how one quantity of the device is
// treated. A quantity without it is stored as it is read.
type Channel struct {
	Quantity   string        `toml:"quantity" form:"id" required:"which quantity of the device it is about" example:"\"temperature\"" doc:"Which quantity of the device, by the name that the driver gives it."`
	Offset     float64       `toml:"offset" default:"0" unit:"the unit of the channel" doc:"Added to the value after scale."`
	Scale      float64       `toml:"scale" default:"1" doc:"The raw value is multiplied by it. Not 0."`
	Deadband   float64       `toml:"deadband" default:"0" min:"0" unit:"the unit of the channel" doc:"A value is left out while it differs by no more than this from the last one that was kept. 0 keeps every value."`
	MaxSilence time.Duration `toml:"max_silence" default:"60s" min:"0s" max:"1d" doc:"With a deadband: how long values may be left out. 0s: without limit."`
	Range      *Range        `toml:"range" unit:"the unit of the channel" example:"[-20, 110]" doc:"[lowest, highest] value that is plausible, after scale and offset. A value outside is kept, with quality out_of_range."`
}

// A Range is [lowest, highest].
type Range [2]float64

// rateMargin is for visits beside the schedule: a device that comes back is
// read at once, at most once per visit that failed.
const rateMargin = 2

// Rate bounds the readings that the gateway takes: in any span of t seconds
// at most Rate()*t + Channels(). table is the one given to Load.
func (c *Config) Rate(table []drivers.Driver) float64 {
	var perSecond float64
	for _, d := range c.Devices {
		perSecond += rateMargin * float64(channels(d.Driver, table)) / d.Interval.Seconds()
	}
	return perSecond
}

// Channels is the most channels that the devices have together.
func (c *Config) Channels(table []drivers.Driver) int {
	n := 0
	for _, d := range c.Devices {
		n += channels(d.Driver, table)
	}
	return n
}

func channels(driver string, table []drivers.Driver) int {
	for _, d := range table {
		if d.Name == driver {
			return d.Most()
		}
	}
	return 0
}
