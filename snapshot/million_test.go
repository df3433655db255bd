package snapshot

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cgs3fs/cgs3fs/s3"
)

// factory is a bucket of synthetic objects, all of which seem to be copied below
// the dated prefix as soon as one is. Control files are real.
type factory struct {
	*synthetic
	control s3.Bucket
	dated   string
	copies  atomic.Int64
	calls   atomic.Int64
	peak    atomic.Uint64 // bytes alive
}

func (f *factory) isControl(key string) bool { return strings.HasPrefix(key, "data/.cgs3fs/") }

func (f *factory) Head(ctx context.Context, key string) (s3.Info, error) {
	return f.control.Head(ctx, key)
}

func (f *factory) Get(ctx context.Context, key string, o s3.GetOptions) (*s3.Body, error) {
	return f.control.Get(ctx, key, o)
}

func (f *factory) Put(ctx context.Context, key string, body io.ReadSeeker, o s3.PutOptions) (s3.Info, error) {
	return f.control.Put(ctx, key, body, o)
}

func (f *factory) Delete(ctx context.Context, targets ...s3.Target) error {
	return f.control.Delete(ctx, targets...)
}

func (f *factory) Copy(_ context.Context, src s3.Source, dst string, _ s3.CopyOptions) (s3.Info, error) {
	f.copies.Add(1)
	return s3.Info{Object: s3.Object{Key: dst, ETag: src.ETag}}, nil
}

func (f *factory) ListPage(ctx context.Context, in s3.ListInput) (s3.Page, error) {
	if f.calls.Add(1)%100 == 0 {
		f.measure()
	}
	switch {
	case f.isControl(in.Prefix):
		return f.control.ListPage(ctx, in)
	case in.Prefix == "":
		return f.synthetic.ListPage(ctx, in)
	case f.copies.Load() == 0:
		return s3.Page{}, nil
	}
	in.Prefix, in.StartAfter = "", strings.TrimPrefix(in.StartAfter, f.dated)
	page, err := f.synthetic.ListPage(ctx, in)
	for i := range page.Objects {
		page.Objects[i].Key = f.dated + page.Objects[i].Key
	}
	return page, err
}

// measure records how much memory is alive: what is held, whatever the collector
// does. In the test's own process this includes the control files that the in-memory
// bucket holds.
func (f *factory) measure() {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	if m.HeapAlloc > f.peak.Load() {
		f.peak.Store(m.HeapAlloc)
	}
}

// TestManyObjectsAreCopiedInLittleMemory makes a snapshot of what is in no memory.
// That a million are listed and planned in little, with the client and all garbage,
// is shown in tests/snapshot, by the program itself.
func TestManyObjectsAreCopiedInLittleMemory(t *testing.T) {
	const limit = 64 << 20
	n := 100_000
	if testing.Short() {
		n = 20_000
	}
	w := newWorld(t)
	key := func(i int) string { return fmt.Sprintf("zone%02d/records/2026/%08d.json", i/50_000, i) }
	f := &factory{synthetic: &synthetic{n: n, key: key}, control: w.newMem(), dated: "data/2026/11/23/"}
	cfg := w.config(f)
	cfg.SegmentEntries, cfg.Listers, cfg.Parallel, cfg.CopyLimit = 0, 0, 0, 0
	f.measure()
	before := f.peak.Load()
	made, err := w.openConfig(cfg).Create(t.Context(), CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if made.Objects != int64(n) || f.copies.Load() != int64(n) {
		t.Errorf("%d of %d objects, %d copies", made.Objects, n, f.copies.Load())
	}
	used := f.peak.Load() - before
	t.Logf("%d objects take %.1f MiB", n, float64(used)/(1<<20))
	if used > limit {
		t.Errorf("%d objects take %d MiB", n, used>>20)
	}
}
