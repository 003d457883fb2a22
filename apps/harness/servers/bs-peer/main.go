// Command bs-peer is bobg/bs, pinned by go.mod, as a program: its client and its own checks against a server of ours, its server for
// a client of ours, its file store on our folders, and the benchmarks that both run.
//
// It writes JSON, one document a line, on stdout; what went wrong is a line on stderr and exit code 1.
//
//	bs-peer check -addr HOST:PORT [-anchors]
//	    bs's own checks (its package testutil) by its client: ReadWrite with a megabyte, AllRefs, and with -anchors Anchors, for
//	    which the server's anchor map must be new. {"check", "ok"} for each; exit code 1 if one fails, with what it printed on stderr.
//
//	bs-peer serve -addr HOST:PORT (-dir PATH | -mem)
//	    bs's server over its file store or its memory store, until SIGTERM. Messages up to 65 MiB.
//
//	bs-peer put -dir PATH | -addr HOST:PORT        stdin is the blob: {"ref", "added"}
//	bs-peer get -dir PATH | -addr HOST:PORT -ref HEX    the blob's bytes, and nothing else, on stdout
//	bs-peer list -dir PATH | -addr HOST:PORT [-after HEX]    {"ref"} for each
//	    Of its file store in a folder, or by its client.
//
//	bs-peer bench MODE ...
//	    See bench.go.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand"
	"net"
	"os"
	"os/signal"
	"syscall"
	"testing"

	"github.com/bobg/bs"
	"github.com/bobg/bs/store/file"
	"github.com/bobg/bs/store/mem"
	"github.com/bobg/bs/store/rpc"
	"github.com/bobg/bs/testutil"
	"google.golang.org/grpc"
)

const maxMessage = 65 << 20

func main() {
	if len(os.Args) < 2 {
		fail(fmt.Errorf("which of check, serve, put, get, list, bench?"))
	}
	var commands = map[string]func(context.Context, []string) error{
		"check": runCheck,
		"serve": runServe,
		"put":   runPut,
		"get":   runGet,
		"list":  runList,
		"bench": runBench,
	}
	var run, ok = commands[os.Args[1]]
	if !ok {
		fail(fmt.Errorf("there is no command %q", os.Args[1]))
	}
	var ctx, stop = signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := run(ctx, os.Args[2:]); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "bs-peer:", err)
	os.Exit(1)
}

// where is a store: a folder, a server, or this process's memory.
type where struct {
	dir, addr string
	mem       bool
}

func newFlags(name string) (*flag.FlagSet, *where) {
	var set, w = flag.NewFlagSet(name, flag.ExitOnError), new(where)
	set.StringVar(&w.dir, "dir", "", "of a file store")
	set.StringVar(&w.addr, "addr", "", "of a server")
	set.BoolVar(&w.mem, "mem", false, "a memory store")
	return set, w
}

func (w *where) open() (bs.Store, error) {
	switch {
	case w.dir != "":
		return file.New(w.dir), nil
	case w.mem:
		return mem.New(), nil
	case w.addr != "":
		return connect(w.addr)
	}
	return nil, fmt.Errorf("which store: -dir, -addr, -mem?")
}

func connect(addr string) (*rpc.Client, error) {
	var conn, err = grpc.Dial(addr, grpc.WithInsecure(),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage), grpc.MaxCallSendMsgSize(maxMessage)))
	if err != nil {
		return nil, err
	}
	return rpc.NewClient(conn), nil
}

func runCheck(ctx context.Context, args []string) error {
	var set, w = newFlags("check")
	var anchors bool
	set.BoolVar(&anchors, "anchors", false, "")
	_ = set.Parse(args)

	var client, err = connect(w.addr)
	if err != nil {
		return err
	}
	var data = make([]byte, 1<<20)
	rand.New(rand.NewSource(1)).Read(data)

	var checks = []testing.InternalTest{
		{Name: "ReadWrite", F: func(t *testing.T) { testutil.ReadWrite(ctx, t, client, data) }},
		{Name: "AllRefs", F: func(t *testing.T) {
			testutil.AllRefs(ctx, t, func() bs.Store { return newSince(ctx, t, client) })
		}},
	}
	if anchors {
		checks = append(checks, testing.InternalTest{
			Name: "Anchors", F: func(t *testing.T) { testutil.Anchors(ctx, t, client, true) },
		})
	}
	// testing.RunTests alone runs nothing outside of `go test`: only M.Run, which Main calls, sets how often each test runs.
	// What tests print would go to stdout, between the documents. Main ends the process, with 1 if a check failed.
	var out = json.NewEncoder(os.Stdout)
	os.Stdout, os.Args = os.Stderr, os.Args[:1]
	for i, check := range checks {
		checks[i].F = func(t *testing.T) {
			defer func() { _ = out.Encode(map[string]any{"check": check.Name, "ok": !t.Failed()}) }()
			check.F(t)
		}
	}
	testing.Main(func(_, _ string) (bool, error) { return true, nil }, checks, nil, nil)
	return nil
}

// sinceStore is a store as if it were empty when it was made: AllRefs wants a new one for each of its hundred runs.
type sinceStore struct {
	bs.Store
	before map[bs.Ref]bool
}

func newSince(ctx context.Context, t *testing.T, store bs.Store) bs.Store {
	var before = make(map[bs.Ref]bool)
	if err := store.ListRefs(ctx, bs.Zero, func(ref bs.Ref) error { before[ref] = true; return nil }); err != nil {
		t.Fatal(err)
	}
	return sinceStore{store, before}
}

func (s sinceStore) ListRefs(ctx context.Context, start bs.Ref, f func(bs.Ref) error) error {
	return s.Store.ListRefs(ctx, start, func(ref bs.Ref) error {
		if s.before[ref] {
			return nil
		}
		return f(ref)
	})
}

func runServe(ctx context.Context, args []string) error {
	var set, w = newFlags("serve")
	_ = set.Parse(args)
	var addr = w.addr
	w.addr = ""
	var store, err = w.open()
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	var server = grpc.NewServer(grpc.MaxRecvMsgSize(maxMessage), grpc.MaxSendMsgSize(maxMessage))
	rpc.RegisterStoreServer(server, rpc.NewServer(store))
	go func() {
		<-ctx.Done()
		server.Stop()
	}()
	if err = print(map[string]any{"address": listener.Addr().String()}); err != nil {
		return err
	}
	return server.Serve(listener)
}

func runPut(ctx context.Context, args []string) error {
	var set, w = newFlags("put")
	_ = set.Parse(args)
	var store, err = w.open()
	if err != nil {
		return err
	}
	content, err := io.ReadAll(os.Stdin)
	if err != nil {
		return err
	}
	ref, added, err := store.Put(ctx, content)
	if err != nil {
		return err
	}
	return print(map[string]any{"ref": ref.String(), "added": added})
}

func runGet(ctx context.Context, args []string) error {
	var set, w = newFlags("get")
	var text string
	set.StringVar(&text, "ref", "", "")
	_ = set.Parse(args)
	var store, err = w.open()
	if err != nil {
		return err
	}
	ref, err := bs.RefFromHex(text)
	if err != nil {
		return err
	}
	blob, err := store.Get(ctx, ref)
	if err != nil {
		return err
	}
	_, err = os.Stdout.Write(blob)
	return err
}

func runList(ctx context.Context, args []string) error {
	var set, w = newFlags("list")
	var text string
	set.StringVar(&text, "after", bs.Zero.String(), "")
	_ = set.Parse(args)
	var store, err = w.open()
	if err != nil {
		return err
	}
	after, err := bs.RefFromHex(text)
	if err != nil {
		return err
	}
	return store.ListRefs(ctx, after, func(ref bs.Ref) error {
		return print(map[string]any{"ref": ref.String()})
	})
}

var stdout = bufio.NewWriter(os.Stdout)

// print writes one line, at once: who waits for it must not wait for the next.
func print(value any) error {
	if err := json.NewEncoder(stdout).Encode(value); err != nil {
		return err
	}
	return stdout.Flush()
}
