module github.com/fieldgate/fieldgate/packaging/e2e/campaign

go 1.26.0

require (
	github.com/gorilla/websocket v1.5.3
	github.com/hanwen/go-fuse/v2 v2.12.1
	golang.org/x/sys v0.45.0
)
