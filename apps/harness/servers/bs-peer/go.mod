module x.harness/servers/bs-peer

go 1.26.0

require (
	github.com/bobg/bs v0.4.0
	google.golang.org/grpc v1.39.0
)

require (
	github.com/bobg/flock v0.0.0-20210807151335-599054c8997d // indirect
	github.com/bobg/hashsplit v1.1.1 // indirect
	github.com/chmduquesne/rollinghash v4.0.0+incompatible // indirect
	github.com/golang/protobuf v1.5.2 // indirect
	github.com/google/go-cmp v0.5.6 // indirect
	github.com/pkg/errors v0.9.1 // indirect
	golang.org/x/net v0.0.0-20210726213435-c6fcb2dbf985 // indirect
	golang.org/x/sync v0.0.0-20210220032951-036812b2e83c // indirect
	golang.org/x/sys v0.0.0-20210630005230-0f9fa26af87c // indirect
	golang.org/x/text v0.3.6 // indirect
	google.golang.org/genproto v0.0.0-20210803142424-70bd63adacf2 // indirect
	google.golang.org/protobuf v1.27.1 // indirect
)
