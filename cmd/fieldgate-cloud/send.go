package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/fieldgate/fieldgate/cmd/cli"
	"github.com/fieldgate/fieldgate/gateway"
)

const (
	longPoll    = 25 * time.Second
	afterExpiry = 10 * time.Second // for the result of a command that began in time
)

// sendCmd sends a command through a running server.
type sendCmd struct {
	Gateway string        `arg:"" help:"gateway_id."`
	Device  string        `arg:"" help:"device_id."`
	Action  string        `arg:"" help:"What the device is to do, such as set."`
	Value   string        `arg:"" optional:"" help:"Value of the action: a number, on or off. Not for actions without one."`
	TTL     time.Duration `default:"60s" help:"How long the command may wait. It never acts later. At most 168h."`
	Once    bool          `help:"Never send the command a second time, not even if the answer is lost. For doors and resets."`
	Lease   time.Duration `help:"How long the set-point holds. Then the output goes back to its safe state. Without it: for ever."`
	Now     bool          `help:"If the gateway is not connected, do not keep the command for it."`
	Wait    bool          `help:"Wait for the outcome. The exit code says it: 0 done, 1 failed, 3 rejected, 4 expired, 5 unknown, 6 not known yet."`
	apiFlags
}

// exits gives the exit code of an outcome, with --wait.
var exits = map[gateway.CommandState]int{
	gateway.CommandDone: 0, gateway.CommandFailed: cli.ExitFailed, gateway.CommandRejected: 3, gateway.CommandExpired: 4,
	gateway.CommandUnknown: 5,
}

const exitUnderWay = 6

// commandSent is the cloud's own word for a command that its gateway may have.
const commandSent gateway.CommandState = "sent"

// An outcome is an exit code other than 0, with its sentence.
type outcome struct {
	code     int
	sentence string
}

func (o *outcome) Error() string { return o.sentence }

// A sentCommand is what the API says of a command.
type sentCommand struct {
	ID     string               `json:"id"`
	State  gateway.CommandState `json:"state"`
	Result *float64             `json:"result"`
	Error  string               `json:"error"`
}

// Run sends the command and prints how far it comes.
func (c sendCmd) Run(ctx context.Context, con cli.Console) error {
	body, id, err := c.body()
	if err != nil {
		return err
	}
	api, err := c.apiFlags.open()
	if err != nil {
		return err
	}
	path := "/v1/gateways/" + url.PathEscape(c.Gateway) + "/commands"
	var now sentCommand
	if err := api.do(ctx, http.MethodPost, path, body, &now); err != nil {
		return err
	}
	fmt.Fprintf(con.Out, "%s %s\n", id, now)
	for until := time.Now().Add(c.TTL + afterExpiry); c.Wait && !ended(now.State) && time.Now().Before(until); {
		before := now.State
		now = sentCommand{}
		if err := api.do(ctx, http.MethodGet, path+"/"+id+"?wait="+pollFor(until).String(), nil, &now); err != nil {
			return fmt.Errorf("%w (the command is on its way; its id is %s)", err, id)
		}
		if now.State != before {
			fmt.Fprintf(con.Out, "%s %s\n", id, now)
		}
	}
	code, final := exits[now.State]
	if !final {
		code = exitUnderWay
	}
	if !c.Wait && !final || code == 0 {
		return nil
	}
	text := fmt.Sprintf("%s of %s: %s", c.Action, c.Device, now)
	if !final {
		text += notKnown[now.State] + ". Ask again when it has connected: GET " + path + "/" + id
	}
	return &outcome{code, text}
}

// notKnown says of the states that are not final what is known for certain.
var notKnown = map[gateway.CommandState]string{
	commandSent:             ": the gateway has not answered; it may have acted, and will not any more if it had not when the time was up",
	gateway.CommandAccepted: ": the gateway has taken it, and has not said what became of it",
	gateway.CommandRunning:  ": the gateway has begun, and has not said how it ended",
}

// pollFor is how long a request may wait for news, at most until then.
func pollFor(until time.Time) time.Duration {
	return max(0, min(longPoll, time.Until(until))).Truncate(time.Millisecond)
}

// ended tells whether the outcome is known; states that this version does not
// know end the waiting too.
func ended(s gateway.CommandState) bool { return s != "queued" && s != commandSent && s.Final() }

func (s sentCommand) String() string {
	text := string(s.State)
	if s.Result != nil {
		text += fmt.Sprintf(", at %v", *s.Result)
	}
	if s.Error != "" {
		text += ": " + s.Error
	}
	return text
}

// body gives the request, under an id that is drawn here, so that it can be
// made again.
func (c sendCmd) body() (body []byte, id string, err error) {
	q := map[string]any{"device_id": c.Device, "action": c.Action, "ttl_ms": c.TTL.Milliseconds(), "once": c.Once,
		"lease_ms": c.Lease.Milliseconds(), "queue": !c.Now}
	id = rand.Text()
	q["id"] = id
	switch c.Value {
	case "":
	case "on":
		q["value"] = 1
	case "off":
		q["value"] = 0
	default:
		v, err := strconv.ParseFloat(c.Value, 64)
		if err != nil {
			return nil, "", fmt.Errorf("%w: value %q: want a number, on or off", cli.ErrUsage, c.Value)
		}
		q["value"] = v
	}
	if !gateway.ValidID(c.Gateway) {
		return nil, "", fmt.Errorf("%w: gateway id %q: want 1 to 64 of A-Z a-z 0-9 _ -", cli.ErrUsage, c.Gateway)
	}
	if body, err = json.Marshal(q); err != nil {
		return nil, "", fmt.Errorf("%w: value %q: %w", cli.ErrUsage, c.Value, err)
	}
	return body, id, nil
}
