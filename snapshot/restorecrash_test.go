package snapshot

import (
	"context"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cgs3fs/cgs3fs/s3"
	"github.com/cgs3fs/cgs3fs/s3/s3test"
)

// TestRestoreSurvivesACrashAnywhere also wants all that is overwritten or deleted
// to be in a snapshot after, and as many copies in both runs as one would make.
func TestRestoreSurvivesACrashAnywhere(t *testing.T) {
	origin := newWorld(t)
	origin.fill(8)
	origin.mem.PutBytes("big", []byte(strings.Repeat("big", 30)))
	origin.create(CreateOptions{})
	snapshot := origin.live()
	origin.clock.advance(time.Hour)
	damaged := origin.damageMore()
	for _, when := range moments {
		for at := 1; ; at++ {
			w := origin.fork()
			counter := &copyCounter{Bucket: w.mem, made: map[string]int{}}
			faulty := s3test.NewFaulty(counter, s3test.Plan{Crash: s3test.Crash{At: at, When: when}})
			_, err := w.open(faulty).Restore(t.Context(), "2026-11-23", RestoreOptions{Delete: true})
			if !faulty.Crashed() {
				if err != nil {
					t.Fatal(err)
				}
				t.Logf("moment %d: %d calls", when, at-1)
				break
			}
			if when == s3test.InBody && !hasBody(faulty.Log()[at-1].Op) {
				continue // is BeforeCall
			}
			for key, data := range w.live() {
				if data != damaged[key] && data != snapshot[key] {
					t.Fatalf("crash at %d: %s has %q", at, key, data)
				}
			}
			w.clock.advance(leaseDead)
			if _, err := w.open(counter).Restore(t.Context(), "2026-11-23", RestoreOptions{Delete: true}); err != nil {
				t.Fatalf("after a crash at %d: %v", at, err)
			}
			wantSame(t, "live data", w.live(), snapshot)
			wantSame(t, "snapshot", contents(t, w.store(), "2026-11-23"), snapshot)
			wantKept(t, w, damaged, snapshot)
			if n := len(counter.made); n != 8 {
				t.Fatalf("crash at %d, moment %d: %d copies in both runs: %v", at, when, n, counter.made)
			}
			counter.wantOnce(t, at)
			wantNothingPending(t, w)
			if t.Failed() {
				t.Fatalf("crash at %d, moment %d", at, when)
			}
		}
	}
}

// wantNothingPending checks that no upload is left, nor a note of one.
func wantNothingPending(t *testing.T, w *world) {
	t.Helper()
	if left := w.mem.Uploads(); len(left) > 0 {
		t.Errorf("uploads are left: %v", left)
	}
	for _, key := range w.mem.Keys() {
		if strings.HasPrefix(key, "data/.cgs3fs/restore/") {
			t.Errorf("%s is left", key)
		}
	}
}

// damageMore replaces and deletes objects, so that a restore makes eight copies:
// of the five that it brings back, and of the three that it replaces or deletes.
func (w *world) damageMore() (damaged map[string]string) {
	w.t.Helper()
	w.mem.PutBytes("dir0/file03", []byte("overwritten"))
	w.mem.PutBytes("dir2/file05", []byte("overwritten, too"))
	w.mem.PutBytes("extra", []byte("extra"))
	if err := w.mem.Delete(w.t.Context(), s3.Target{Key: "dir1/file01"}, s3.Target{Key: "dir1/file07"}, s3.Target{Key: "big"}); err != nil {
		w.t.Fatal(err)
	}
	return w.live()
}

// wantKept checks that what was there before a restore, and is not after it, is
// in one of the snapshots that restores make.
func wantKept(t *testing.T, w *world, before, after map[string]string) {
	t.Helper()
	s := w.store()
	list, err := s.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	kept := map[string]bool{}
	for _, info := range Existing(list) {
		if info.Mode == Safety {
			for key, data := range contents(t, s, info.ID) {
				kept[key+"="+data] = true
			}
		}
	}
	for key, data := range before {
		if after[key] != data && !kept[key+"="+data] {
			t.Fatalf("%s with %q is nowhere", key, data)
		}
	}
}

// TestRestoreReplacesOnlyWhatItKept has somebody write after the safety snapshot
// was made: theirs stays, as it is in no snapshot.
func TestRestoreReplacesOnlyWhatItKept(t *testing.T) {
	w := newWorld(t)
	w.fill(8)
	w.create(CreateOptions{})
	w.clock.advance(time.Hour)
	w.mem.PutBytes("dir0/file03", []byte("overwritten"))
	bucket := &lateWriter{Bucket: w.mem, on: func() {
		w.mem.PutBytes("dir0/file03", []byte("again, later"))
		w.mem.PutBytes("extra", []byte("later, too"))
	}}
	done, err := w.open(bucket).Restore(t.Context(), "2026-11-23", RestoreOptions{Delete: true})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(done.Conflicts)
	if !slices.Equal(done.Conflicts, []string{"dir0/file03", "extra"}) {
		t.Errorf("conflicts %v", done.Conflicts)
	}
	if data, _ := w.mem.Bytes("dir0/file03"); string(data) != "again, later" {
		t.Errorf("their data is %q", data)
	}
	w.clock.advance(time.Hour)
	before := w.live()
	if _, err := w.store().Restore(t.Context(), "2026-11-23", RestoreOptions{Delete: true}); err != nil {
		t.Fatal(err)
	}
	wantKept(t, w, before, w.live())
}

// TestRestoreFindsWhatAPruneMoved has somebody delete the snapshot that all is
// linked to right before the lock of a restore is taken.
func TestRestoreFindsWhatAPruneMoved(t *testing.T) {
	w := newWorld(t)
	want := history(t, w)["2026-11-25"]
	w.mem.PutBytes("dir0/file03", []byte("overwritten"))
	before := w.live()
	bucket := &lateWriter{Bucket: w.mem, on: func() {
		if _, err := w.store().Delete(t.Context(), []ID{"2026-11-23"}, DeleteOptions{}); err != nil {
			t.Error(err)
		}
	}}
	done, err := w.open(bucket).Restore(t.Context(), "2026-11-25", RestoreOptions{Delete: true})
	if err != nil || len(done.Damaged) > 0 || len(done.Conflicts) > 0 {
		t.Fatalf("%+v, %v", done, err)
	}
	wantSame(t, "live data", w.live(), want)
	wantKept(t, w, before, w.live())
}

// lateWriter does something right before the lock of a restore is taken.
type lateWriter struct {
	s3.Bucket
	on func()
}

func (l *lateWriter) Put(ctx context.Context, key string, body io.ReadSeeker, o s3.PutOptions) (s3.Info, error) {
	if key == "data/.cgs3fs/lock" {
		l.on()
	}
	return l.Bucket.Put(ctx, key, body, o)
}

// TestRestoreBelowAPrefixKeepsWhatItReplaces restores beside the originals, over
// data that is live as well.
func TestRestoreBelowAPrefixKeepsWhatItReplaces(t *testing.T) {
	w := newWorld(t)
	w.fill(9)
	w.create(CreateOptions{})
	w.clock.advance(time.Hour)
	w.mem.PutBytes("back/dir0/file03", []byte("mine"))
	w.mem.PutBytes("back/extra", []byte("mine, too"))
	w.mem.PutBytes("back/", nil)
	w.mem.PutBytes("back0", []byte("outside"))
	before := w.live()
	done, err := w.store().Restore(t.Context(), "2026-11-23", RestoreOptions{ToPrefix: "back/", Delete: true})
	if err != nil {
		t.Fatal(err)
	}
	if done.Deleted != 1 || done.Copied != 9 || len(done.Conflicts) > 0 {
		t.Errorf("%+v", done)
	}
	wantKept(t, w, before, w.live())
	if m, err := w.store().Load(t.Context(), done.Safety); err != nil || m.Objects != 2 {
		t.Errorf("kept %+v, %v", m, err)
	}
}
