package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/bobg/bs"
	"github.com/bobg/bs/store/file"
	"github.com/bobg/bs/store/mem"
	"github.com/bobg/bs/store/replica"
)

// runBench measures one thing, and prints
//
//	{"mode", "ops", "bytes", "seconds", "cpuSeconds", "maxRssBytes"}
//
// with the CPU seconds and the greatest resident memory of this process. Blobs are random, and each is another. Modes:
//
//	sha256 [-size N] [-count N]
//	    The hash alone: the limit of what follows.
//	replica-put [-stores N] [-size N] [-count N] [-dir PATH]
//	    Puts to a replica of N (default 3) synchronous stores, one at a time: memory stores, or with -dir file stores in folders below it.
//	replica-get [-stores N] [-size N] [-count N]
//	    Gets of what was put there, one at a time. bs does not verify what it gets.
//	replica-list [-stores N] [-refs N] [-same] [-sorted]
//	    The union listing of N memory stores with so many refs each, all or (without -same) none of them the same. bs's own sort their refs
//	    for each listing; with -sorted the stores have them in order already, and what is measured is the union alone. It may lose refs,
//	    or hang: "ops" is what it listed, and after -seconds (default 60) "hung" is true.
//	file-put -dir PATH [-size N] [-count N] [-inflight N]
//	    Puts to the file store, which does not sync. What it left to the system is written when it is over, and not in the time of others.
//	file-get -dir PATH [-size N] [-count N] [-inflight N]
//	    Gets of what is put there first.
func runBench(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("which bench of sha256, replica-put, replica-get, replica-list, file-put, file-get?")
	}
	var mode = args[0]
	var set, w = newFlags("bench")
	var b bench
	set.IntVar(&b.stores, "stores", 3, "")
	set.IntVar(&b.size, "size", 1<<20, "")
	set.IntVar(&b.count, "count", 200, "")
	set.IntVar(&b.refs, "refs", 100_000, "")
	set.IntVar(&b.inflight, "inflight", 1, "")
	set.BoolVar(&b.same, "same", false, "")
	set.BoolVar(&b.sorted, "sorted", false, "")
	set.Float64Var(&b.seconds, "seconds", 60, "")
	_ = set.Parse(args[1:])
	b.dir = w.dir

	var modes = map[string]func(context.Context) (map[string]any, error){
		"sha256":       b.sha256,
		"replica-put":  b.replicaPut,
		"replica-get":  b.replicaGet,
		"replica-list": b.replicaList,
		"file-put":     b.filePut,
		"file-get":     b.fileGet,
	}
	var run, ok = modes[mode]
	if !ok {
		return fmt.Errorf("there is no bench %q", mode)
	}
	var out, err = run(ctx)
	if err != nil {
		return err
	}
	var usage syscall.Rusage
	if err = syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return err
	}
	out["mode"] = mode
	out["cpuSeconds"] = seconds(usage.Utime) + seconds(usage.Stime)
	out["maxRssBytes"] = usage.Maxrss * 1024
	return print(out)
}

type bench struct {
	stores, size, count, refs, inflight int
	same, sorted                        bool
	seconds                             float64
	dir                                 string
}

func seconds(t syscall.Timeval) float64 { return float64(t.Sec) + float64(t.Usec)/1e6 }

// blob is the i-th: the same random bytes with another number in front.
func (b *bench) blob(base []byte, i int) []byte {
	var blob = append([]byte(nil), base...)
	if len(blob) >= 8 {
		binary.LittleEndian.PutUint64(blob, uint64(i))
	}
	return blob
}

func (b *bench) base() []byte {
	var base = make([]byte, b.size)
	rand.New(rand.NewSource(7)).Read(base)
	return base
}

func (b *bench) blobs() [][]byte {
	var base = b.base()
	var blobs = make([][]byte, b.count)
	for i := range blobs {
		blobs[i] = b.blob(base, i)
	}
	return blobs
}

// timed runs do for each index, so many at a time.
func (b *bench) timed(do func(int) error) (map[string]any, error) {
	var next = make(chan int)
	var failed error
	var mu sync.Mutex
	var wg sync.WaitGroup
	var begin = time.Now()
	for range b.inflight {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := range next {
				if err := do(i); err != nil {
					mu.Lock()
					failed = err
					mu.Unlock()
				}
			}
		}()
	}
	for i := range b.count {
		next <- i
	}
	close(next)
	wg.Wait()
	return map[string]any{
		"ops": b.count, "bytes": b.count * b.size, "seconds": time.Since(begin).Seconds(),
	}, failed
}

func (b *bench) sha256(context.Context) (map[string]any, error) {
	var blobs = b.blobs()
	return b.timed(func(i int) error {
		sha256.Sum256(blobs[i])
		return nil
	})
}

// replica is one of synchronous stores: file stores where there is a folder for them, else memory stores.
func (b *bench) replica(ctx context.Context) *replica.Store {
	var stores []bs.Store
	for i := range b.stores {
		if b.dir != "" {
			stores = append(stores, file.New(filepath.Join(b.dir, strconv.Itoa(i))))
		} else {
			stores = append(stores, mem.New())
		}
	}
	return replica.New(ctx, stores, nil, 1)
}

func (b *bench) replicaPut(ctx context.Context) (map[string]any, error) {
	var blobs = b.blobs()
	var store = b.replica(ctx)
	defer syncFiles(b.dir)
	return b.timed(func(i int) error {
		var _, _, err = store.Put(ctx, blobs[i])
		return err
	})
}

func syncFiles(dir string) {
	if dir != "" {
		syscall.Sync()
	}
}

func (b *bench) replicaGet(ctx context.Context) (map[string]any, error) {
	var store = b.replica(ctx)
	var refs []bs.Ref
	for _, blob := range b.blobs() {
		var ref, _, err = store.Put(ctx, blob)
		if err != nil {
			return nil, err
		}
		refs = append(refs, ref)
	}
	return b.timed(func(i int) error {
		var blob, err = store.Get(ctx, refs[i])
		if err == nil && len(blob) != b.size {
			err = fmt.Errorf("got %d bytes of %d", len(blob), b.size)
		}
		return err
	})
}

// sortedStore only lists what it has in order already.
type sortedStore struct {
	bs.Store
	refs []bs.Ref
}

func (s sortedStore) ListRefs(_ context.Context, start bs.Ref, f func(bs.Ref) error) error {
	var from = sort.Search(len(s.refs), func(i int) bool { return start.Less(s.refs[i]) })
	for _, ref := range s.refs[from:] {
		if err := f(ref); err != nil {
			return err
		}
	}
	return nil
}

// listed are stores with refs to list. Each blob is its number, and that of its store.
func (b *bench) listed(ctx context.Context) ([]bs.Store, error) {
	var stores []bs.Store
	for i := range b.stores {
		var m, refs = mem.New(), make([]bs.Ref, b.refs)
		for j := range refs {
			var content = make([]byte, 16)
			if !b.same {
				binary.LittleEndian.PutUint64(content, uint64(i))
			}
			binary.LittleEndian.PutUint64(content[8:], uint64(j))
			if b.sorted {
				refs[j] = sha256.Sum256(content)
			} else if _, _, err := m.Put(ctx, content); err != nil {
				return nil, err
			}
		}
		if !b.sorted {
			stores = append(stores, m)
			continue
		}
		slices.SortFunc(refs, func(one, other bs.Ref) int { return bytes.Compare(one[:], other[:]) })
		stores = append(stores, sortedStore{refs: refs})
	}
	return stores, nil
}

func (b *bench) replicaList(ctx context.Context) (map[string]any, error) {
	var stores, err = b.listed(ctx)
	if err != nil {
		return nil, err
	}
	var store = replica.New(ctx, stores, nil, 1)
	var expected = b.refs * b.stores
	if b.same {
		expected = b.refs
	}
	ctx, cancel := context.WithTimeout(ctx, time.Duration(b.seconds*float64(time.Second)))
	defer cancel()
	var mu sync.Mutex
	var listed = 0
	var done = make(chan error, 1)
	var begin = time.Now()
	go func() {
		done <- store.ListRefs(ctx, bs.Zero, func(bs.Ref) error {
			mu.Lock()
			listed++
			mu.Unlock()
			return nil
		})
	}()
	var hung = false
	select {
	case err := <-done:
		if err != nil && ctx.Err() == nil {
			return nil, err
		}
		hung = ctx.Err() != nil
	case <-ctx.Done():
		hung = true
	}
	mu.Lock()
	defer mu.Unlock()
	return map[string]any{
		"ops": listed, "bytes": listed * 32, "seconds": time.Since(begin).Seconds(), "hung": hung, "refs": expected,
	}, nil
}

func (b *bench) filePut(ctx context.Context) (map[string]any, error) {
	if b.dir == "" {
		return nil, fmt.Errorf("-dir is needed")
	}
	var store, blobs = file.New(b.dir), b.blobs()
	defer syncFiles(b.dir)
	return b.timed(func(i int) error {
		var _, _, err = store.Put(ctx, blobs[i])
		return err
	})
}

func (b *bench) fileGet(ctx context.Context) (map[string]any, error) {
	if b.dir == "" {
		return nil, fmt.Errorf("-dir is needed")
	}
	if err := os.MkdirAll(b.dir, 0o755); err != nil {
		return nil, err
	}
	var store = file.New(b.dir)
	var refs []bs.Ref
	for _, blob := range b.blobs() {
		var ref, _, err = store.Put(ctx, blob)
		if err != nil {
			return nil, err
		}
		refs = append(refs, ref)
	}
	return b.timed(func(i int) error {
		var _, err = store.Get(ctx, refs[i])
		return err
	})
}
