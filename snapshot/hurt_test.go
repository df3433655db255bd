package snapshot

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cgs3fs/cgs3fs/s3"
	"github.com/cgs3fs/cgs3fs/s3/s3test"
)

// TestWriterMeanwhile has somebody overwrite and delete objects before every
// request of a run: each copy must still be one version, whole.
func TestWriterMeanwhile(t *testing.T) {
	for _, opaque := range []bool{false, true} {
		for seed := range uint64(30) {
			w := newWorld(t)
			w.mem = s3test.NewMem(s3test.MemConfig{Now: w.clock.now, MinPartSize: 1, OpaqueETags: opaque})
			writer := newWriter(w.mem, seed)
			for range 40 {
				writer.write()
			}
			s := w.open(writer)
			made, err := s.Create(t.Context(), CreateOptions{})
			if err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			for key, data := range contents(t, w.store(), made.ID) {
				if !writer.wrote(key, data) {
					t.Fatalf("seed %d: %q has %q, which nobody wrote", seed, key, data)
				}
			}
			found, err := w.store().Verify(t.Context(), made.ID, VerifyOptions{})
			if err != nil || !found.OK() || found.Foreign > 0 {
				t.Fatalf("seed %d: %+v, %v", seed, found, err)
			}
			if made.Changed+made.Vanished+made.Skipped == 0 {
				t.Errorf("seed %d: nothing changed during the run, so nothing was tested", seed)
			}
		}
	}
}

// TestWriterMeanwhileAndACrash is the same with a crash somewhere: what the two
// runs make together must be whole, too, though the objects of the first changed.
func TestWriterMeanwhileAndACrash(t *testing.T) {
	resumed := 0
	for seed := range uint64(120) {
		w := newWorld(t)
		w.mem = s3test.NewMem(s3test.MemConfig{Now: w.clock.now, MinPartSize: 1, OpaqueETags: seed%2 == 1})
		writer := newWriter(w.mem, seed)
		for range 40 {
			writer.write()
		}
		r := rand.New(rand.NewPCG(seed, 1))
		crash := s3test.Crash{At: 1 + r.IntN(70), When: moments[r.IntN(len(moments))]}
		_, err := w.open(s3test.NewFaulty(writer, s3test.Plan{Crash: crash})).Create(t.Context(), CreateOptions{})
		w.clock.advance(leaseDead)
		made, err2 := w.open(writer).Create(t.Context(), CreateOptions{IfMissing: true})
		if err2 != nil {
			t.Fatalf("seed %d, %+v: after %v: %v", seed, crash, err, err2)
		}
		if made.Resumed {
			resumed++
		}
		for key, data := range contents(t, w.store(), made.ID) {
			if !writer.wrote(key, data) {
				t.Fatalf("seed %d, %+v: %q has %q, which nobody wrote", seed, crash, key, data)
			}
		}
		found, err := w.store().Verify(t.Context(), made.ID, VerifyOptions{})
		if err != nil || !found.OK() || found.Foreign > 0 {
			t.Fatalf("seed %d, %+v: %+v, %v", seed, crash, found, err)
		}
		if u := w.mem.Uploads(); len(u) > 0 {
			t.Fatalf("seed %d, %+v: uploads %v", seed, crash, u)
		}
	}
	if resumed < 60 {
		t.Errorf("only %d runs were resumed", resumed)
	}
}

// TestWriterMeanwhileDisturbsNoSnapshot has somebody write all the time while copies
// move between snapshots, with a crash somewhere, too.
func TestWriterMeanwhileDisturbsNoSnapshot(t *testing.T) {
	works := []struct {
		work func(context.Context, *Store) error
		left []ID
	}{
		{func(ctx context.Context, s *Store) error {
			_, err := s.Prune(ctx, PruneOptions{Policy: Policy{Last: 2}})
			return err
		}, []ID{"2026-11-24", "2026-11-25"}},
		{func(ctx context.Context, s *Store) error {
			_, err := s.Prune(ctx, PruneOptions{Policy: Policy{Last: 1}})
			return err
		}, []ID{"2026-11-25"}},
		{func(ctx context.Context, s *Store) error { return s.Materialize(ctx, "2026-11-25") }, []ID{"2026-11-23", "2026-11-24", "2026-11-25"}},
	}
	crashes := 0
	for seed := range uint64(60) {
		w := newWorld(t)
		w.mem = s3test.NewMem(s3test.MemConfig{Now: w.clock.now, MinPartSize: 1, OpaqueETags: seed%2 == 1, Checksums: true})
		writer := newWriter(w.mem, seed)
		for range 40 {
			writer.write()
		}
		want := history(t, w)
		r := rand.New(rand.NewPCG(seed, 1))
		test := works[seed%3]
		counter := &copyCounter{Bucket: writer, made: map[string]int{}}
		crash := s3test.Crash{At: 1 + r.IntN(60), When: moments[r.IntN(len(moments))]}
		faulty := s3test.NewFaulty(counter, s3test.Plan{Crash: crash})
		err := test.work(t.Context(), w.open(faulty))
		if faulty.Crashed() {
			crashes++
		} else if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		wantIntact(t, w, want, test.left...)
		w.clock.advance(leaseDead)
		if err := test.work(t.Context(), w.open(counter)); err != nil {
			t.Fatalf("seed %d, %+v: %v", seed, crash, err)
		}
		if n := wantIntact(t, w, want, test.left...); n != len(test.left) {
			t.Fatalf("seed %d, %+v: %d snapshots", seed, crash, n)
		}
		counter.wantOnce(t, int(seed))
		wantNoStrays(t, w, crash.At)
		if u := w.mem.Uploads(); len(u) > 0 || t.Failed() {
			t.Fatalf("seed %d, %+v: uploads %v", seed, crash, u)
		}
	}
	if crashes < 40 {
		t.Errorf("only %d runs crashed", crashes)
	}
}

// writer is a bucket that somebody else changes before each call. It writes runs
// of one letter, of few lengths, so that a mixture of two versions shows.
type writer struct {
	*s3test.Mem

	mu      sync.Mutex
	r       *rand.Rand                 // guarded by mu
	written map[string]map[string]bool // guarded by mu
}

func newWriter(mem *s3test.Mem, seed uint64) *writer {
	return &writer{Mem: mem, r: rand.New(rand.NewPCG(seed, 0)), written: map[string]map[string]bool{}}
}

func (w *writer) write() {
	w.mu.Lock()
	defer w.mu.Unlock()
	key := fmt.Sprintf("k%02d", w.r.IntN(20))
	if w.r.IntN(8) == 0 {
		w.Mem.Delete(context.Background(), s3.Target{Key: key}) // cannot fail
		return
	}
	data := bytes.Repeat([]byte{byte('a' + w.r.IntN(26))}, []int{10, 100}[w.r.IntN(2)])
	if w.written[key] == nil {
		w.written[key] = map[string]bool{}
	}
	w.written[key][string(data)] = true
	w.Mem.PutBytes(key, data)
}

func (w *writer) wrote(key, data string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.written[key][data]
}

func (w *writer) ListPage(ctx context.Context, in s3.ListInput) (s3.Page, error) {
	w.write()
	return w.Mem.ListPage(ctx, in)
}

func (w *writer) Head(ctx context.Context, key string) (s3.Info, error) {
	w.write()
	return w.Mem.Head(ctx, key)
}

func (w *writer) Copy(ctx context.Context, src s3.Source, dst string, o s3.CopyOptions) (s3.Info, error) {
	w.write()
	return w.Mem.Copy(ctx, src, dst, o)
}

func (w *writer) NewUpload(ctx context.Context, key string, o s3.PutOptions) (s3.Upload, error) {
	u, err := w.Mem.NewUpload(ctx, key, o)
	return &writerUpload{u, w}, err
}

type writerUpload struct {
	s3.Upload
	w *writer
}

func (u *writerUpload) CopyPart(ctx context.Context, n int, src s3.Source, r s3.Range) (s3.Part, error) {
	u.w.write()
	return u.Upload.CopyPart(ctx, n, src, r)
}

func TestEveryKeySurvivesSnapshotAndRestore(t *testing.T) {
	w := newWorld(t)
	keys := []string{
		"/leading", "trailing/", "a//b", "a/./b", "a/../b", "../up", ".", "..", "a%2Fb", "a+b", "a b", "ü", "é", "日本", "😀",
		"a\u0301", "tab\t", "line\nfeed", "quote\"'<>&", "back\\slash", "\x01\x02", "\x7f", "inv\xff\xfealid",
		"x", "x/", "x/y", "x\U0010ffff", "data", "data/", "data/2026", "data/2026/11/230", "data/2026/11/23", "data/2026/11/23T",
		"data/.cgs3f", "data/.cgs3fs", "data2/", ".cgs3fs/manifest.json",
	}
	for b := range 256 {
		keys = append(keys, "byte/"+string([]byte{byte(b)}))
	}
	for n := 1000; n <= 1024; n++ {
		keys = append(keys, "long/"+strings.Repeat("k", n-5), "lang/"+strings.Repeat("é", (n-5)/2))
	}
	want := map[string]string{}
	for i, key := range keys {
		data := fmt.Sprint("content ", i)
		o := s3.PutOptions{Attributes: s3.Attributes{ContentType: "t/" + fmt.Sprint(i)}, Tags: map[string]string{"n": fmt.Sprint(i)}}
		if _, err := w.mem.Put(t.Context(), key, strings.NewReader(data), o); err != nil {
			t.Fatal(err)
		}
		want[key] = data
	}
	made := w.create(CreateOptions{})
	s := w.store()
	wantSame(t, "snapshot", contents(t, s, made.ID), want)
	for _, level := range []Level{ByListing, ByHead, ByReading} {
		if found, err := s.Verify(t.Context(), made.ID, VerifyOptions{Level: level}); err != nil || !found.OK() || found.Foreign > 0 {
			t.Errorf("verify %s: %+v, %v", level, found, err)
		}
	}
	w.clock.advance(24 * time.Hour)
	if second := w.create(CreateOptions{Incremental: true}); second.Own != 0 || second.Objects != made.Objects {
		t.Errorf("the second has %d objects, %d its own", second.Objects, second.Own)
	}
	if _, err := s.Delete(t.Context(), []ID{made.ID}, DeleteOptions{}); err != nil { // re-homes all
		t.Fatal(err)
	}
	wantSame(t, "second snapshot", contents(t, s, "2026-11-24"), want)
	other := w.newMem()
	if _, err := s.Restore(t.Context(), "2026-11-24", RestoreOptions{To: other}); err != nil {
		t.Fatal(err)
	}
	wantEqualBuckets(t, w.mem, other, want)
}

// mangling is a bucket of a server that can't say control characters in a listing
// and puts U+FFFD in their place.
type mangling struct{ s3.Bucket }

func (m mangling) ListPage(ctx context.Context, in s3.ListInput) (s3.Page, error) {
	page, err := m.Bucket.ListPage(ctx, in)
	for i := range page.Objects {
		page.Objects[i].Key = strings.ReplaceAll(page.Objects[i].Key, "\x1b", "\ufffd")
	}
	return page, err
}

// A key that is not what the listing says has not been deleted meanwhile: the
// snapshot lacks it, and says so.
func TestKeyThatAListingCantSayIsMissed(t *testing.T) {
	w := newWorld(t)
	w.fill(3)
	w.mem.PutBytes("esc\x1b[31m", []byte("red"))
	w.mem.PutBytes("real\ufffd", []byte("is there"))
	made, err := w.open(mangling{w.mem}).Create(t.Context(), CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if made.State != Partial || made.Skipped != 1 || made.Vanished != 0 || made.Objects != 4 || made.Notes[0].Why != Unnamed {
		t.Errorf("it is %s with %d objects, %d skipped, %d vanished, %v", made.State, made.Objects, made.Skipped, made.Vanished, made.Notes)
	}
}

// wantEqualBuckets compares objects with all that belongs to them.
func wantEqualBuckets(t testing.TB, a, b *s3test.Mem, keys map[string]string) {
	t.Helper()
	for key := range keys {
		infoA, errA := a.Head(t.Context(), key)
		infoB, errB := b.Head(t.Context(), key)
		tagsA, _ := a.GetTags(t.Context(), key, "")
		tagsB, _ := b.GetTags(t.Context(), key, "")
		if errA != nil || errB != nil {
			t.Fatalf("%q: %v, %v", key, errA, errB)
		}
		wantSame(t, key, infoB.Attributes, infoA.Attributes)
		wantSame(t, key, tagsB, tagsA)
		wantSame(t, key, infoB.Checksum, infoA.Checksum)
	}
	if got := len(b.Keys()); got != len(keys) {
		t.Errorf("%d keys instead of %d", got, len(keys))
	}
}

func TestSlowServerOnlySlowsARunDown(t *testing.T) {
	w := newWorld(t)
	w.fill(30)
	plan := s3test.Plan{Seed: 7, Rules: []s3test.Rule{
		{Op: s3.OpCopy, P: 0.2, Fault: s3test.Fault{Do: s3test.Fail, Kind: s3.ErrThrottled}},
	}}
	s := w.open(s3test.NewFaulty(w.mem, plan))
	made, err := s.Create(t.Context(), CreateOptions{})
	if err != nil || made.State != Complete {
		t.Fatalf("%v", err)
	}
	wantSame(t, "snapshot", contents(t, w.store(), made.ID), w.live())
	s.gate.mu.Lock()
	defer s.gate.mu.Unlock()
	if s.gate.slowed == 0 || s.gate.limit >= gateStart {
		t.Errorf("slowed %d times, limit %f", s.gate.slowed, s.gate.limit)
	}
}

func TestGateStopsAtItsLimit(t *testing.T) {
	g := newGate(2, pause)
	release := make(chan struct{})
	var group sync.WaitGroup
	var mu sync.Mutex
	busy, peak := 0, 0
	for range 10 {
		group.Go(func() {
			err := g.do(t.Context(), func() error {
				mu.Lock()
				busy++
				peak = max(peak, busy)
				mu.Unlock()
				<-release
				mu.Lock()
				busy--
				mu.Unlock()
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	close(release)
	group.Wait()
	if peak > 2 {
		t.Errorf("%d requests at once", peak)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	g.busy = 2
	if err := g.do(ctx, func() error { return nil }); !errors.Is(err, s3.ErrCanceled) {
		t.Errorf("waiting after the end: %v", err)
	}
}

func TestFilteredSnapshotDeletesNothingOutsideItsScope(t *testing.T) {
	w := newWorld(t)
	for _, key := range []string{"a/1", "a/2.tmp", "b/1"} {
		w.mem.PutBytes(key, []byte(key))
	}
	w.create(CreateOptions{From: "a/", Filter: []Pattern{{Exclude: "*.tmp"}}})
	w.mem.PutBytes("a/extra", []byte("x"))
	done, err := w.store().Restore(t.Context(), "2026-11-23", RestoreOptions{Delete: true, NoSafety: true})
	if err != nil || done.Deleted != 1 {
		t.Errorf("%+v, %v", done, err)
	}
	wantSame(t, "live", w.live(), map[string]string{"a/1": "a/1", "a/2.tmp": "a/2.tmp", "b/1": "b/1"})
}

func TestNobodyCreatesWhileSnapshotsAreRemoved(t *testing.T) {
	w := newWorld(t)
	w.fill(3)
	s := w.store()
	err := s.locked(t.Context(), "prune", func(ctx context.Context, _ *lease) error {
		_, err := w.store().Create(ctx, CreateOptions{})
		return err
	})
	if !errors.Is(err, ErrLocked) {
		t.Errorf("got %v", err)
	}
}

// TestStrangersObjectIsNotTakenForACopy has a stranger write to a planned place
// what looks like the version that the source got meanwhile, where no ETag tells.
func TestStrangersObjectIsNotTakenForACopy(t *testing.T) {
	w := newWorld(t)
	w.mem = s3test.NewMem(s3test.MemConfig{Now: w.clock.now, MinPartSize: 1, OpaqueETags: true})
	w.mem.PutBytes("key", []byte("first"))
	meddled := false
	faulty := s3test.NewFaulty(w.mem, s3test.Plan{})
	bucket := &meddler{Bucket: faulty, on: func(src s3.Source, dst string) {
		if !meddled {
			meddled = true
			w.mem.PutBytes(dst, []byte("stranger's"))
			w.mem.PutBytes(src.Key, []byte("the second"))
			return
		}
		faulty.SetPlan(s3test.Plan{Crash: s3test.Crash{At: 1}})
	}}
	if _, err := w.open(bucket).Create(t.Context(), CreateOptions{}); err == nil {
		t.Fatal("no crash")
	}
	w.clock.advance(leaseDead)
	made := w.create(CreateOptions{})
	if !made.Resumed {
		t.Error("not resumed")
	}
	wantSame(t, "snapshot", contents(t, w.store(), made.ID), map[string]string{"key": "the second"})
}

// TestVanishedObjectLeavesNoCopy deletes an object whose copy was made and could
// not be told from another's.
func TestVanishedObjectLeavesNoCopy(t *testing.T) {
	w := newWorld(t)
	w.mem.PutBytes("key", []byte("content"))
	w.mem.PutBytes("other", []byte("content"))
	bucket := &meddler{Bucket: w.mem, on: func(src s3.Source, dst string) {
		if src.Key == "key" {
			w.mem.PutBytes(dst, []byte("half of it?"))
			if err := w.mem.Delete(t.Context(), s3.Target{Key: "key"}); err != nil {
				t.Error(err)
			}
		}
	}}
	made, err := w.open(bucket).Create(t.Context(), CreateOptions{})
	if err != nil || made.Vanished != 1 || made.State != Complete {
		t.Fatalf("%+v, %v", made, err)
	}
	found, err := w.store().Verify(t.Context(), made.ID, VerifyOptions{})
	if err != nil || found.Foreign != 0 {
		t.Errorf("%+v, %v", found, err)
	}
}
