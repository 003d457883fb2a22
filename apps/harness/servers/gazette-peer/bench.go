package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"io"
	"math/rand"
	"slices"
	"strings"
	"syscall"
	"time"

	"go.gazette.dev/core/broker/client"
	pb "go.gazette.dev/core/broker/protocol"
)

// runBench measures one thing after a first request that connects and learns the route, and prints
//
//	{"mode", "ops", "bytes", "seconds", "p50Ms", "p99Ms", "cpuSeconds", "maxRssBytes"}
//
// with the CPU seconds of this process alone (user and system), and its greatest resident memory ever. Modes:
//
//	append-service -size N -count N [-journals a,b]
//	    Appends of N bytes by one AppendService, until the last has committed. Latency is of the batches it makes of them:
//	    from the first append of a batch to its commit.
//	append-sync -size N -count N
//	    One append at a time, each an RPC of its own; latency is of each.
//	appender -bytes N [-chunk N]
//	    One append of so many bytes, written in chunks (default 128 KiB); latency is of the whole.
//	read [-offset N] -bytes N [-chunk N] [-sum]
//	    So many bytes, or fewer if the write head comes first, through the broker; latency is of each read of at most a chunk.
//	fragments [-offset N] -bytes N [-chunk N] -file-root PATH [-sum]
//	    The same, but persisted fragments are read by their URLs and decompressed here: "directBytes" says how many bytes were.
//
// What is appended is text that compresses to about a third (JSON lines, the same in every run), and repeats only after
// 16 MiB, so that no codec's window sees it twice; with -random it does not compress at all.
//
// -sum adds "sha256" of what was read, and its cost.
func runBench(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("which bench of append-service, append-sync, appender, read, fragments?")
	}
	var mode = args[0]
	var set, dial = newFlags("bench")
	var b bench
	var fileRoot string
	var withSum bool
	set.StringVar((*string)(&b.journal), "journal", "", "")
	set.IntVar(&b.size, "size", 100, "")
	set.IntVar(&b.count, "count", 1000, "")
	set.Int64Var(&b.bytes, "bytes", 1<<30, "")
	set.Int64Var(&b.offset, "offset", 0, "")
	set.IntVar(&b.chunk, "chunk", 128*1024, "")
	set.StringVar(&fileRoot, "file-root", "", "")
	set.BoolVar(&withSum, "sum", false, "")
	set.BoolVar(&b.random, "random", false, "")
	_ = set.Parse(args[1:])

	var modes = map[string]func(context.Context) (int, int64, []time.Duration, error){
		"append-service": b.appendService,
		"append-sync":    b.appendSync,
		"appender":       b.appender,
		"read":           func(ctx context.Context) (int, int64, []time.Duration, error) { return b.read(ctx, false) },
		"fragments":      func(ctx context.Context) (int, int64, []time.Duration, error) { return b.read(ctx, true) },
	}
	var run, ok = modes[mode]
	if !ok {
		return fmt.Errorf("there is no bench %q", mode)
	}
	if fileRoot != "" {
		defer client.InstallFileTransport(fileRoot)()
	}
	if withSum {
		b.sum = sha256.New()
	}
	b.rjc = dial.dial(ctx)
	if err := b.warmUp(ctx); err != nil {
		return err
	}
	var before, begin = usage(), time.Now()
	var ops, total, latencies, err = run(ctx)
	var took, after = time.Since(begin), usage()
	if err != nil {
		return err
	}
	slices.Sort(latencies)
	var out = map[string]any{
		"mode":        mode,
		"ops":         ops,
		"bytes":       total,
		"seconds":     took.Seconds(),
		"p50Ms":       quantile(latencies, 0.50),
		"p99Ms":       quantile(latencies, 0.99),
		"cpuSeconds":  cpuSeconds(after) - cpuSeconds(before),
		"maxRssBytes": after.Maxrss * 1024,
	}
	if mode == "fragments" {
		out["directBytes"] = b.direct
	}
	if withSum {
		out["sha256"] = fmt.Sprintf("%x", b.sum.Sum(nil))
	}
	return print(out)
}

type bench struct {
	rjc         pb.RoutedJournalClient
	journal     pb.Journal
	size, count int
	bytes       int64
	offset      int64
	chunk       int
	random      bool
	sum         hash.Hash // nil: none
	direct      int64     // of the bytes that were read
}

// warmUp connects to the broker of the journal, and leaves its route in the cache.
func (b *bench) warmUp(ctx context.Context) error {
	if _, err := client.GetJournal(ctx, b.rjc, b.journal); err != nil {
		return err
	}
	var r = client.NewReader(ctx, b.rjc, pb.ReadRequest{Journal: b.journal, Offset: -1, MetadataOnly: true})
	var buffer [1]byte
	for {
		if _, err := r.Read(buffer[:]); err == client.ErrOffsetJump || err == nil {
			continue
		} else if err == io.EOF || err == client.ErrOffsetNotYetAvailable {
			return nil
		} else {
			return err
		}
	}
}

func (b *bench) appendService(ctx context.Context) (int, int64, []time.Duration, error) {
	var service = client.NewAppendService(ctx, b.rjc)
	var content = b.content(b.size)
	var latencies []time.Duration
	var done = make(chan time.Duration, 1024)
	var collected = make(chan struct{})
	go func() {
		for d := range done {
			latencies = append(latencies, d)
		}
		close(collected)
	}()
	var previous *client.AsyncAppend
	var batches = make(chan struct{}, 1<<20) // one for each batch that is waited for
	var waiting int
	for range b.count {
		var aa = service.StartAppend(pb.AppendRequest{Journal: b.journal}, nil)
		_, _ = aa.Writer().Write(content)
		if err := aa.Release(); err != nil {
			return 0, 0, nil, err
		}
		if aa != previous {
			var begin = time.Now()
			waiting++
			go func() {
				<-aa.Done()
				done <- time.Since(begin)
				batches <- struct{}{}
			}()
			previous = aa
		}
	}
	for op := range service.PendingExcept("") {
		if op.Err() != nil {
			return 0, 0, nil, op.Err()
		}
	}
	for range waiting {
		<-batches
	}
	close(done)
	<-collected
	return b.count, int64(b.count) * int64(b.size), latencies, nil
}

func (b *bench) appendSync(ctx context.Context) (int, int64, []time.Duration, error) {
	var content = bytes.NewReader(b.content(b.size))
	var latencies = make([]time.Duration, 0, b.count)
	for range b.count {
		var begin = time.Now()
		if _, err := client.Append(ctx, b.rjc, pb.AppendRequest{Journal: b.journal}, content); err != nil {
			return 0, 0, nil, err
		}
		latencies = append(latencies, time.Since(begin))
	}
	return b.count, int64(b.count) * int64(b.size), latencies, nil
}

func (b *bench) appender(ctx context.Context) (int, int64, []time.Duration, error) {
	var content = b.content(max(16<<20, b.chunk))
	var at int
	var begin = time.Now()
	var a = client.NewAppender(ctx, b.rjc, pb.AppendRequest{Journal: b.journal})
	for left := b.bytes; left > 0; {
		if at+b.chunk > len(content) {
			at = 0
		}
		var n, err = a.Write(content[at : at+int(min(int64(b.chunk), left))])
		if err != nil {
			a.Abort()
			return 0, 0, nil, err
		}
		left -= int64(n)
		at += n
	}
	if err := a.Close(); err != nil {
		return 0, 0, nil, err
	}
	return 1, b.bytes, []time.Duration{time.Since(begin)}, nil
}

func (b *bench) read(ctx context.Context, direct bool) (int, int64, []time.Duration, error) {
	var rr = client.NewRetryReader(ctx, b.rjc, pb.ReadRequest{
		Journal:    b.journal,
		Offset:     b.offset,
		EndOffset:  b.offset + b.bytes,
		DoNotProxy: direct,
	})
	var buffer = make([]byte, b.chunk)
	var latencies []time.Duration
	var total int64
	for {
		var begin = time.Now()
		var n, err = rr.Read(buffer)
		if n != 0 {
			latencies = append(latencies, time.Since(begin))
			total += int64(n)
			b.direct += directBytes(rr, n)
			if b.sum != nil {
				_, _ = b.sum.Write(buffer[:n])
			}
		}
		if err == io.EOF || err == client.ErrOffsetNotYetAvailable {
			return len(latencies), total, latencies, nil
		} else if err != nil && err != client.ErrOffsetJump {
			return 0, 0, nil, err
		}
	}
}

// content is made before the clock starts.
func (b *bench) content(n int) []byte {
	var source = rand.New(rand.NewSource(1))
	var out = make([]byte, 0, n+256)
	for len(out) < n {
		if b.random {
			out = binary.LittleEndian.AppendUint64(out, source.Uint64())
			continue
		}
		out = fmt.Appendf(out, "{\"id\":%d,\"user\":\"user-%04d\",\"city\":\"%s\",\"amount\":%d.%02d,\"note\":\"%s %s %s\"}\n",
			source.Int31(), source.Intn(5000), word(source), source.Intn(1000), source.Intn(100),
			word(source), word(source), word(source))
	}
	return out[:n]
}

var words = strings.Fields("journal broker fragment offset append read commit label selector store replica primary etcd zone route header message clock")

func word(source *rand.Rand) string { return words[source.Intn(len(words))] }

func quantile(sorted []time.Duration, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return float64(sorted[int(q*float64(len(sorted)-1))]) / float64(time.Millisecond)
}

func usage() syscall.Rusage {
	var r syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &r)
	return r
}

func cpuSeconds(r syscall.Rusage) float64 {
	return time.Duration(r.Utime.Nano() + r.Stime.Nano()).Seconds()
}
