package snapshot

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cgs3fs/cgs3fs/s3"
	"github.com/cgs3fs/cgs3fs/s3/s3test"
)

// clock is a time that tests set.
type clock struct{ nanos atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.nanos.Store(time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC).UnixNano())
	return c
}

func (c *clock) now() time.Time          { return time.Unix(0, c.nanos.Load()).UTC() }
func (c *clock) advance(d time.Duration) { c.nanos.Add(int64(d)) }

// world is a bucket in memory with a store of snapshots in it.
type world struct {
	t     testing.TB
	clock *clock
	mem   *s3test.Mem
	runs  atomic.Int64
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t, clock: newClock()}
	w.mem = w.newMem()
	return w
}

// fork is another world, which is as this one until something happens in it.
func (w *world) fork() *world {
	f := &world{t: w.t, clock: newClock()}
	f.clock.nanos.Store(w.clock.nanos.Load())
	f.runs.Store(w.runs.Load())
	f.mem = w.mem.Clone(f.clock.now)
	return f
}

func (w *world) newMem() *s3test.Mem {
	return s3test.NewMem(s3test.MemConfig{Now: w.clock.now, MinPartSize: 1, Checksums: true})
}

// config makes everything small: segments of a few entries, objects above 64
// bytes copied in parts.
func (w *world) config(bucket s3.Bucket) Config {
	return Config{
		Source: bucket, SourceName: "bucket", Now: w.clock.now, Host: "host", PID: 1, Tool: "test",
		NewRun:         func() string { return fmt.Sprintf("run%d", w.runs.Add(1)) },
		Sleep:          func(context.Context, time.Duration) error { return nil },
		SegmentEntries: 4, Listers: 2, Parallel: 8, CopyLimit: 64, PartSize: 24, StreamPart: 32, Memory: 256,
	}
}

func (w *world) open(bucket s3.Bucket) *Store {
	w.t.Helper()
	return w.openConfig(w.config(bucket))
}

// openOf is the snapshots of a bucket that are kept in another.
func (w *world) openOf(name string, bucket, backups s3.Bucket) *Store {
	w.t.Helper()
	cfg := w.config(bucket)
	cfg.SourceName, cfg.Dest, cfg.DestName = name, backups, "backups"
	return w.openConfig(cfg)
}

func (w *world) openConfig(cfg Config) *Store {
	w.t.Helper()
	s, err := Open(cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	s.zips = allZips
	return s
}

// allZips spares thousands of stores a megabyte each.
var allZips = &zips{}

func (w *world) store() *Store { return w.open(w.mem) }

func (w *world) create(o CreateOptions) *Created {
	w.t.Helper()
	c, err := w.store().Create(w.t.Context(), o)
	if err != nil {
		w.t.Fatalf("Create: %v", err)
	}
	return c
}

// begin is a run that has claimed its place, and is alive.
func (w *world) begin(s *Store, o CreateOptions) *creation {
	w.t.Helper()
	c, _, err := s.begin(w.t.Context(), o)
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// gather is a run that has copied everything and not committed.
func (w *world) gather(s *Store, o CreateOptions) *creation {
	w.t.Helper()
	c := w.begin(s, o)
	if err := c.gather(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	return c
}

// abandon ends a run as it is.
func (w *world) abandon(c *creation) ID {
	w.t.Helper()
	if err := c.lease.abandon(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	return c.id
}

// interrupt leaves a run that has copied everything and did not commit.
func (w *world) interrupt(o CreateOptions) ID {
	w.t.Helper()
	return w.abandon(w.gather(w.store(), o))
}

// fill puts n objects of different sizes into the bucket.
func (w *world) fill(n int) {
	w.t.Helper()
	for i := range n {
		w.mem.PutBytes(fmt.Sprintf("dir%d/file%02d", i%3, i), bytes.Repeat([]byte{byte('a' + i%26)}, 7*i))
	}
}

// live returns the contents of everything outside the snapshots' prefix.
func (w *world) live() map[string]string {
	found := map[string]string{}
	for _, key := range w.mem.Keys() {
		if !strings.HasPrefix(key, "data/") {
			data, _ := w.mem.Bytes(key)
			found[key] = string(data)
		}
	}
	return found
}

// contents reads a snapshot as restore would: by its manifest, from the places
// of the copies, which must have the recorded ETags.
func contents(t testing.TB, s *Store, id ID) map[string]string {
	t.Helper()
	m, err := s.Load(t.Context(), id)
	if err != nil {
		t.Fatalf("Load %s: %v", id, err)
	}
	found := map[string]string{}
	for e, err := range s.Entries(t.Context(), m) {
		if err != nil {
			t.Fatalf("Entries of %s: %v", id, err)
		}
		found[e.Key] = content(t, s, id, e)
	}
	if int64(len(found)) != m.Objects {
		t.Errorf("%s has %d entries, its manifest says %d", id, len(found), m.Objects)
	}
	return found
}

func content(t testing.TB, s *Store, id ID, e Entry) string {
	t.Helper()
	body, err := s.dest.Get(context.Background(), s.at.place(id, e), s3.GetOptions{IfMatch: e.copyETag()})
	if err != nil {
		t.Fatalf("the copy of %q in %s: %v", e.Key, id, err)
	}
	defer body.Close()
	data, err := readExactly(body, e.Size)
	if err != nil {
		t.Fatalf("the copy of %q in %s: %v", e.Key, id, err)
	}
	return string(data)
}

func wantSame(t testing.TB, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("%s (-want +got):\n%s", what, diff)
	}
}

// rotten is a bucket whose disks have lost a bit that nothing but the bytes shows.
type rotten struct{ s3.Bucket }

func (r rotten) Get(ctx context.Context, key string, o s3.GetOptions) (*s3.Body, error) {
	body, err := r.Bucket.Get(ctx, key, o)
	if err == nil && strings.HasPrefix(key, "data/2") {
		body.ReadCloser = rottenBody{body.ReadCloser}
	}
	return body, err
}

type rottenBody struct{ io.ReadCloser }

func (b rottenBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if n > 0 {
		p[0] ^= 1
	}
	return n, err
}
