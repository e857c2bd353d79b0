module github.com/fieldgate/fieldgate/packaging/e2e/page

go 1.26.0

require (
	github.com/chromedp/cdproto v0.159.0
	github.com/chromedp/chromedp v0.23.0
	github.com/fieldgate/fieldgate v0.0.0
)

require (
	github.com/alecthomas/kong v1.17.0 // indirect
	github.com/coder/websocket v1.8.15 // indirect
	github.com/go-json-experiment/json v0.0.0-20260213210345-44df1a37e875 // indirect
	github.com/gorilla/websocket v1.5.3 // indirect
	golang.org/x/time v0.16.0 // indirect
)

replace github.com/fieldgate/fieldgate => ../../..
