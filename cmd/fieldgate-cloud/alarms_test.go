package main

import (
	"encoding/json"
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/cmd/cli"
	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/cloud"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

func TestAlarmFlags(t *testing.T) {
	good := alarmFlags{BacklogAlarm: time.Minute, ConsumerAlarm: 2 * time.Minute, EpochsAlarm: -1}
	var o cloud.Options
	if err := good.set(&o); err != nil || o.BacklogAlarm != time.Minute || o.ConsumerAlarm != 2*time.Minute || o.EpochsAlarm != -1 {
		t.Errorf("%+v, %v", o, err)
	}
	for name, spoil := range map[string]func(*alarmFlags){
		"--backlog-alarm 9s":   func(f *alarmFlags) { f.BacklogAlarm = 9 * time.Second },
		"--consumer-alarm -1m": func(f *alarmFlags) { f.ConsumerAlarm = -time.Minute },
		"--epochs-alarm 0":     func(f *alarmFlags) { f.EpochsAlarm = 0 },
		"--epochs-alarm -2":    func(f *alarmFlags) { f.EpochsAlarm = -2 },
		"--epochs-alarm 64":    func(f *alarmFlags) { f.EpochsAlarm = 64 },
	} {
		f := good
		spoil(&f)
		if err := f.set(&cloud.Options{}); !errors.Is(err, cli.ErrUsage) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The thresholds of the command line are those by which alarms are raised.
func TestAlarmsByFlags(t *testing.T) {
	t.Parallel()
	state := t.TempDir()
	token := add(t, state, "g")
	p := start(t, state, "--backlog-alarm", "3h", "--epochs-alarm", "2")
	hello := &wire.Hello{GatewayID: "g", All: true, Backlog: wire.Backlog{N: 9,
		OldestTS: wire.Time(time.Now().Add(-2 * time.Hour).UnixMicro())}}
	alarms := func() string {
		var g struct {
			Alarms []struct{ Code, Sentence string }
		}
		if err := json.Unmarshal([]byte(p.asOperator("/v1/gateways/g")), &g); err != nil {
			t.Fatal(err)
		}
		var codes []string
		for _, a := range g.Alarms {
			codes = append(codes, a.Code)
		}
		return strings.Join(codes, " ")
	}
	for range 2 {
		hello.Epochs = append(hello.Epochs, wire.HelloEpoch{Epoch: gateway.NewEpochID(), Oldest: 1})
	}
	p.openWith(token, hello)
	if got := alarms(); got != "" {
		t.Errorf("at the thresholds: %q", got)
	}
	hello.Epochs = append(hello.Epochs, wire.HelloEpoch{Epoch: gateway.NewEpochID(), Oldest: 1})
	hello.Backlog.OldestTS = wire.Time(time.Now().Add(-4 * time.Hour).UnixMicro())
	p.openWith(token, hello)
	want := "backlog_age epochs_per_day"
	for end := time.Now().Add(answerWithin); alarms() != want && time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
	} // the ledger takes a moment
	if got := alarms(); got != want {
		t.Errorf("beyond the thresholds: %q, want %q", got, want)
	}
	for end := time.Now().Add(answerWithin); ; time.Sleep(200 * time.Millisecond) { // it looks every 10 s
		text := p.asOperator("/metrics")
		if strings.Contains(text, `alarms{code="epochs_per_day"} 1`) && strings.Contains(text, `alarms{code="backlog_age"} 1`) {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("the metrics do not count the alarms:\n%s", text)
		}
	}
	p.end(syscall.SIGTERM)
}
