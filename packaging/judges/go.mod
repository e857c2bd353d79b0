module github.com/fieldgate/fieldgate/packaging/judges

go 1.26.0

require (
	github.com/fieldgate/fieldgate v0.0.0
	gobot.io/x/gobot/v2 v2.5.0
	periph.io/x/conn/v3 v3.7.3
	periph.io/x/devices/v3 v3.7.4
	tinygo.org/x/drivers v0.37.0
)

require (
	github.com/gofrs/uuid v4.4.0+incompatible // indirect
	github.com/google/shlex v0.0.0-20191202100458-e7afc7fbc510 // indirect
	github.com/hashicorp/errwrap v1.1.0 // indirect
	github.com/hashicorp/go-multierror v1.1.1 // indirect
	github.com/sigurn/crc8 v0.0.0-20220107193325-2243fe600f9f // indirect
	github.com/warthog618/go-gpiocdev v0.9.1 // indirect
	golang.org/x/sys v0.49.0 // indirect
	periph.io/x/host/v3 v3.8.5 // indirect
)

replace github.com/fieldgate/fieldgate => ../..
