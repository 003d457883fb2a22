// Command gazette-peer is the Go client of Gazette, pinned by go.mod, as a program: what it writes the package's
// client must read, and back, and both run the same benchmarks.
//
// It writes JSON, one document a line, on stdout; what went wrong is a line on stderr and exit code 1.
//
//	gazette-peer append -journal NAME [-file PATH] [-offset N] [-check SELECTOR] [-union a=b,c=d] [-subtract a=b]
//	    One append of a file's bytes (default: stdin), retried as the client does. Registers as in an AppendRequest.
//	    {"journal", "begin", "end", "writeHead"?, "registers": {name: [values]}}
//
//	gazette-peer read -journal NAME [-offset N] [-end N] [-block] [-direct] [-file-root PATH] [-out PATH]
//	    The bytes from the offset (-1: the write head) to the end offset or, without -block, to the write head. To stdout,
//	    bytes only; or with -out to a file, and {"journal", "begin", "offset", "bytes", "direct", "sha256", "jumps": [[from, to]]}:
//	    "direct" of the bytes came from fragments that were read by their URLs, which they are with -direct, as soon as the
//	    brokers know that they were persisted (at the latest after the journal's refresh interval). -file-root is where file:// URLs begin.
//
//	gazette-peer publish [-script PATH] [-clock N]
//	    A Publisher that does what each line of the script (default: stdin) says:
//	      {"op": "committed",   "journal": NAME, "message": {...}}
//	      {"op": "uncommitted", "journal": NAME, "message": {...}}
//	      {"op": "ack"}      builds the acknowledgement intents of what is uncommitted, and appends them
//	      {"op": "intents"}  builds them and only prints them: {"journal", "intent"}, base64. What was published stays uncommitted
//	    {"op", "journal", "uuid", "producer", "clock", "flags"} for each message, once all of them are in the journals.
//	    Framing is by the journal's label content-type. A message is an object; its UUID is the member "uuid". As protobuf it
//	    is { bytes uuid = 1; string body = 2; } with the rest of the object as JSON in the body. -clock: where the clock
//	    begins (it only ticks then); default: the time of day.
//
//	gazette-peer read-committed -journal NAME[,NAME] [-offset N] [-end N] [-uncommitted]
//	    {"journal", "begin", "end", "uuid", "producer", "clock", "flags", "message"} for each message up to the write heads, in
//	    the order in which one Sequencer of all the journals gives them; acknowledgements are told too, as Gazette does.
//	    The journals are read one after the other. -uncommitted: as they stand in the journal.
//
//	gazette-peer list [-selector SELECTOR]
//	    {"name", "replication", "modRevision", "createRevision", "labels": {name: [values]}, "primary", "members", "endpoints"}
//
//	gazette-peer uuid -producer HEX12 (-clock N | -time RFC3339) [-flags N] | -parse UUID
//	    {"uuid", "producer", "clock", "flags", "time"}; the clock is decimal text, because it exceeds 2^53
//
//	gazette-peer map -journals NAME,NAME
//	    {"modulo", "rendezvous"}: the journals that the mappings choose, for each key on stdin, which is hexadecimal, one a line
//
//	gazette-peer cert -dir PATH
//	    Writes ca.pem, cert.pem and key.pem for TLS on 127.0.0.1, good for a day: {"caFile", "certFile", "keyFile"}
//
//	gazette-peer bench MODE -journal NAME ...
//	    See bench.go.
//
// All but uuid, map and cert take -endpoint URL (http://127.0.0.1:PORT or unix://HOST/PATH), -auth-keys BASE64 or -token TOKEN, -zone
// (default local) and -cache N (default 256: routes that are remembered; 0: brokers proxy),
// and for https -ca PATH and, where brokers want certificates of clients, -cert PATH and -key PATH.
package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"hash"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"go.gazette.dev/core/broker/client"
	pb "go.gazette.dev/core/broker/protocol"
	mbp "go.gazette.dev/core/mainboilerplate"
)

func main() {
	if len(os.Args) < 2 {
		fail(fmt.Errorf("which of append, read, publish, read-committed, list, uuid, map, cert, bench?"))
	}
	var commands = map[string]func(context.Context, []string) error{
		"append":         runAppend,
		"read":           runRead,
		"publish":        runPublish,
		"read-committed": runReadCommitted,
		"list":           runList,
		"uuid":           runUUID,
		"map":            runMap,
		"cert":           runCert,
		"bench":          runBench,
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
	fmt.Fprintln(os.Stderr, "gazette-peer:", err)
	os.Exit(1)
}

// A connection's flags, common to the commands.
type dialFlags struct {
	endpoint, authKeys, token, zone string
	ca, cert, key                   string
	cache                           int
}

func newFlags(name string) (*flag.FlagSet, *dialFlags) {
	var set, d = flag.NewFlagSet(name, flag.ExitOnError), new(dialFlags)
	set.StringVar(&d.endpoint, "endpoint", "", "of a broker")
	set.StringVar(&d.authKeys, "auth-keys", "", "base64 keys: the first signs")
	set.StringVar(&d.token, "token", "", "bearer token")
	set.StringVar(&d.zone, "zone", "local", "whose brokers are preferred")
	set.StringVar(&d.ca, "ca", "", "file of the trusted authority")
	set.StringVar(&d.cert, "cert", "", "file of our certificate")
	set.StringVar(&d.key, "key", "", "file of its key")
	set.IntVar(&d.cache, "cache", 256, "routes that are remembered")
	return set, d
}

// dial connects as Gazette's own programs do, with their options of gRPC.
func (d *dialFlags) dial(ctx context.Context) pb.RoutedJournalClient {
	pb.RegisterGRPCDispatcher(d.zone)
	var config mbp.ClientConfig
	config.Address = pb.Endpoint(d.endpoint)
	config.AuthKeys, config.AuthToken = d.authKeys, d.token
	config.TrustedCAFile, config.CertFile, config.CertKeyFile = d.ca, d.cert, d.key
	config.Cache.Size, config.Cache.TTL = d.cache, time.Minute
	return config.MustRoutedJournalClient(ctx)
}

func runAppend(ctx context.Context, args []string) error {
	var set, dial = newFlags("append")
	var req pb.AppendRequest
	var file, check, union, subtract string
	set.StringVar((*string)(&req.Journal), "journal", "", "")
	set.StringVar(&file, "file", "", "default: stdin")
	set.Int64Var(&req.Offset, "offset", 0, "at which the append must begin")
	set.StringVar(&check, "check", "", "selector that the registers must match")
	set.StringVar(&union, "union", "", "registers to add")
	set.StringVar(&subtract, "subtract", "", "registers to remove")
	_ = set.Parse(args)

	if check != "" {
		var selector, err = pb.ParseLabelSelector(check)
		if err != nil {
			return err
		}
		req.CheckRegisters = &selector
	}
	req.UnionRegisters, req.SubtractRegisters = parseLabels(union), parseLabels(subtract)

	var content, err = readAll(file)
	if err != nil {
		return err
	}
	resp, err := client.Append(ctx, dial.dial(ctx), req, bytes.NewReader(content))
	if err != nil {
		return err
	}
	var out = map[string]any{
		"journal":   resp.Commit.Journal,
		"begin":     resp.Commit.Begin,
		"end":       resp.Commit.End,
		"registers": labelMap(resp.Registers),
	}
	return print(out)
}

func runRead(ctx context.Context, args []string) error {
	var set, dial = newFlags("read")
	var req pb.ReadRequest
	var fileRoot, out string
	set.StringVar((*string)(&req.Journal), "journal", "", "")
	set.Int64Var(&req.Offset, "offset", 0, "")
	set.Int64Var(&req.EndOffset, "end", 0, "")
	set.BoolVar(&req.Block, "block", false, "")
	set.BoolVar(&req.DoNotProxy, "direct", false, "")
	set.StringVar(&fileRoot, "file-root", "", "")
	set.StringVar(&out, "out", "", "default: stdout")
	_ = set.Parse(args)

	if fileRoot != "" {
		defer client.InstallFileTransport(fileRoot)()
	}
	var file, sum = os.Stdout, sha256.New()
	if out != "" {
		var err error
		if file, err = os.Create(out); err != nil {
			return err
		}
	}
	var begin = req.Offset
	var rr = client.NewRetryReader(ctx, dial.dial(ctx), req)
	var n, direct, jumps, err = copyJournal(file, sum, rr)
	if err != nil {
		return err
	}
	if err = file.Close(); err != nil || out == "" {
		return err
	}
	return print(map[string]any{
		"journal": req.Journal,
		"begin":   begin,
		"offset":  rr.Offset(),
		"bytes":   n,
		"direct":  direct,
		"sha256":  hex.EncodeToString(sum.Sum(nil)),
		"jumps":   jumps,
	})
}

// copyJournal reads to the end of what was asked for, or to the write head, and goes on behind gaps.
func copyJournal(w io.Writer, sum hash.Hash, rr *client.RetryReader) (total, direct int64, jumps [][2]int64, err error) {
	jumps = [][2]int64{}
	var buffer = make([]byte, 128*1024)
	for {
		var from = rr.Offset()
		var n, err = rr.Read(buffer)
		if _, writeErr := io.MultiWriter(w, sum).Write(buffer[:n]); writeErr != nil {
			return total, direct, jumps, writeErr
		}
		total += int64(n)
		direct += directBytes(rr, n)
		switch err {
		case nil:
		case io.EOF, client.ErrOffsetNotYetAvailable:
			return total, direct, jumps, nil
		case client.ErrOffsetJump:
			jumps = append(jumps, [2]int64{from, rr.Offset()})
		default:
			return total, direct, jumps, err
		}
	}
}

// directBytes is n if they were read from a fragment's URL: a proxying broker sends content after it has sent the URL,
// and one that does not ends the stream.
func directBytes(rr *client.RetryReader, n int) int64 {
	var resp = rr.Reader.Response
	if rr.Reader.Request.DoNotProxy && resp.FragmentUrl != "" && len(resp.Content) == 0 {
		return int64(n)
	}
	return 0
}

func runList(ctx context.Context, args []string) error {
	var set, dial = newFlags("list")
	var selector string
	set.StringVar(&selector, "selector", "", "")
	_ = set.Parse(args)

	var parsed, err = pb.ParseLabelSelector(selector)
	if err != nil {
		return err
	}
	resp, err := client.ListAllJournals(ctx, dial.dial(ctx), pb.ListRequest{Selector: parsed})
	if err != nil {
		return err
	}
	for _, j := range resp.Journals {
		var out = map[string]any{
			"name":           j.Spec.Name,
			"replication":    j.Spec.Replication,
			"modRevision":    j.ModRevision,
			"createRevision": j.CreateRevision,
			"labels":         labelMap(&j.Spec.LabelSet),
			"members":        processes(j.Route.Members),
			"endpoints":      j.Route.Endpoints,
		}
		if p := j.Route.Primary; p >= 0 {
			out["primary"] = j.Route.Members[p].Suffix
		}
		if err = print(out); err != nil {
			return err
		}
	}
	return nil
}

func processes(ids []pb.ProcessSpec_ID) []string {
	var out = []string{}
	for _, id := range ids {
		out = append(out, id.Zone+"/"+id.Suffix)
	}
	return out
}

func labelMap(set *pb.LabelSet) map[string][]string {
	var out = map[string][]string{}
	if set != nil {
		for _, l := range set.Labels {
			out[l.Name] = append(out[l.Name], l.Value)
		}
	}
	return out
}

func parseLabels(text string) *pb.LabelSet {
	if text == "" {
		return nil
	}
	var set pb.LabelSet
	for _, each := range strings.Split(text, ",") {
		var name, value, _ = strings.Cut(each, "=")
		set.AddValue(name, value)
	}
	return &set
}

func readAll(path string) ([]byte, error) {
	if path == "" {
		return io.ReadAll(os.Stdin)
	}
	return os.ReadFile(path)
}

var stdout = bufio.NewWriter(os.Stdout)

// print writes one line, at once: who waits for it must not wait for the next.
func print(value any) error {
	if err := json.NewEncoder(stdout).Encode(value); err != nil {
		return err
	}
	return stdout.Flush()
}
