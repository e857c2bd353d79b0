# fieldgate: every command a person or a machine needs.
#   make run      build both programs and run the demo
#   make test     every test, the browser's included
#   make test-pi  install and drive the Debian package on an emulated Raspberry Pi
#   make deb      dist/*.deb for amd64 and arm64
#   make test-deb judge and install them here, as root
#   make campaign faults at random for SECONDS=180, as root: is every reading accounted for?
#   make bench    one figure a line: <figure> <value> <unit> [peer=<value> ratio=<r>]

VERSION ?= 0.1.0
SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || date +%s)
export SOURCE_DATE_EPOCH
export GOFLAGS := $(GOFLAGS) -trimpath
CLI := github.com/fieldgate/fieldgate/cmd/cli
LDFLAGS := -s -w -X $(CLI).version=$(VERSION) -X $(CLI).built=$(SOURCE_DATE_EPOCH)
GO_BUILD := CGO_ENABLED=0 go build -ldflags '$(LDFLAGS)'
ARCHS := amd64 arm64
# A CI run may not skip; elsewhere a tool that cannot be installed is a skip with its reason.
# It ends a test that hangs; a busy machine takes several times as long as a quiet one.
TEST_TIMEOUT := 60m
# Tests that are parallel wait for programs, most of the time: four at once on two cores.
# Else the race detector waits a second at the end of each of the hundreds of programs that the tests are and start.
export GORACE ?= atexit_sleep_ms=50

.PHONY: build run test test-pi deb test-deb bench campaign fuzz soak reference proofs dashboard clean

build:
	$(GO_BUILD) -o bin/ ./cmd/fieldgate ./cmd/fieldgate-cloud

run: build
	bin/fieldgate demo $(DEMO)

test: build
	packaging/tools/debian.sh gcc libc6-dev chromium python3-websocket python3-websockets npm squid tinyproxy microsocks haproxy nginx libnginx-mod-stream iproute2 postgresql node-ws strace
	go vet ./...
	go test -race -count=1 -parallel 4 -timeout $(TEST_TIMEOUT) $$(go list ./... | grep -v /uplink/cloud/model)
	go test -race -count=1 -run 'TestHistories' ./uplink/cloud/model -histories 3
	go test -count=1 ./uplink/cloud/model
	go test -count=1 -v -run 'TestCrashImages|TestFlippedBits|TestMaxSizeIsMadeUseOf' ./store
	go vet -C packaging/judges ./...
	go test -C packaging/judges -count=1 ./...
	go vet -C packaging/e2e/page ./...
	go test -C packaging/e2e/page -race -count=1 -timeout $(TEST_TIMEOUT) ./...

# How often the power is cut.
CUTS ?= 5
test-pi: deb build
	packaging/pi/build-image.sh
	go test -tags pi -v -count=1 -timeout 60m ./packaging/pi -cuts $(CUTS)

deb: $(ARCHS:%=dist-%)

# Both packages, installed into a copy of this system's file tree.
test-deb: deb
	packaging/tools/debian.sh lintian
	go test -tags deb -count=1 -v ./packaging/cloud

build-%:
	GOOS=linux GOARCH=$* $(GO_BUILD) -o bin/linux-$*/ ./cmd/fieldgate

cloud-%:
	GOOS=linux GOARCH=$* $(GO_BUILD) -o bin/linux-$*/ ./cmd/fieldgate-cloud

dist-%: build-% cloud-%
	packaging/build-deb.sh fieldgate $* $(VERSION)
	packaging/build-deb.sh fieldgate-cloud $* $(VERSION)

bench: build build-arm64
	go run ./packaging/bench

# The real programs, three gateways and a cloud, on cards that forget, over lines that fail: faults at random for SECONDS.
# SEED makes the same ones again; PAGE is where the result is written, packaging/doc/campaign.md in the repository.
SECONDS ?= 180
CAMPAIGN = bin/campaign -bin bin $(SEED:%=-seed %) $(PAGE:%=-page %)
campaign: build
	packaging/tools/debian.sh e2fsprogs
	go vet -C packaging/e2e/campaign ./...
	go test -C packaging/e2e/campaign -count=1 ./...
	go build -C packaging/e2e/campaign -o $(CURDIR)/bin/campaign .
	$(CAMPAIGN) -seconds $(SECONDS)

# Every fuzz target for FUZZTIME each.
FUZZTIME ?= 60s
fuzz:
	@grep -rl --include=*_test.go '^func Fuzz' . | xargs -n1 dirname | sort -u | while read -r d; do \
	  for f in $$(grep -ho '^func Fuzz[A-Za-z]*' $$d/*_test.go | cut -c6-); do \
	    go test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 2s $$d || exit 1; done; done

# What takes long: programs killed over and over, long histories of the store.
SOAK ?= 20
soak: build
	go test -race -timeout 2h -count $(SOAK) -run 'TestEveryReadingIsAccountedFor' ./cmd/fieldgate
	go test -timeout 2h -v -run 'TestKilledAtAnyTime' ./cmd/fieldgate -kills $$(( $(SOAK) * 15 ))
	go test -timeout 2h -v -run 'TestPulsesOverKills' ./cmd/fieldgate -pulsekills 500
	go test -v -run 'TestSpeed' ./uplink/cloud/postgres -speed 5000000
	go test -race -timeout 2h -run 'TestModel' ./store -rapid.checks $$(( $(SOAK) * 500 ))
	go test -timeout 2h -v -run 'TestFleetComesBack' ./uplink/cloud -fleet 5000
	go test -timeout 2h -v -run 'TestIdleMemory' ./uplink/cloud -fleet 2000
	go test -timeout 2h -v ./uplink/cloud/model -histories $$(( $(SOAK) * 100 ))
	$(MAKE) campaign SECONDS=3600

# What is made of the tags of the configuration and the table of drivers: packaging/doc/configuration.md, packaging/fieldgate.toml.
reference:
	go test -count=1 -run TestREADMEReference ./cmd/fieldgate -update

# Every judge of a driver is tried, and the table in packaging/doc/sensors.md written.
proofs:
	go test -C packaging/judges -count=1 . -update

dashboard:
	go run -C packaging/tools ./dashboard

clean:
	rm -rf bin dist
