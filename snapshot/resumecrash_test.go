package snapshot

import (
	"testing"
	"time"

	"github.com/cgs3fs/cgs3fs/s3/s3test"
)

// A run that crashes anywhere before midnight is finished after it, although a
// snapshot of other keys was made, and others removed, meanwhile, and objects have
// changed.
func TestFinishedLateAfterACrashAnywhere(t *testing.T) {
	for _, incremental := range []bool{false, true} {
		for at := 1; ; at++ {
			w := newWorld(t)
			w.fill(14)
			old := w.create(CreateOptions{})
			w.clock.advance(14 * time.Hour) // 23:00
			w.mem.PutBytes("dir1/new", []byte("new"))
			w.mem.PutBytes("zoo", []byte("after the snapshots"))
			o := CreateOptions{Incremental: incremental}
			faulty := s3test.NewFaulty(w.mem, s3test.Plan{Crash: s3test.Crash{At: at, When: s3test.AfterCall}})
			_, err := w.open(faulty).Create(t.Context(), o)
			if !faulty.Crashed() {
				if err != nil {
					t.Fatal(err)
				}
				break
			}
			w.clock.advance(2 * time.Hour)
			other := w.create(CreateOptions{From: "dir1/"})
			w.mem.PutBytes("dir2/file02", []byte("changed"))
			w.clock.advance(time.Minute)
			made := w.create(o)
			wantSame(t, "snapshot", len(contents(t, w.store(), made.ID)), len(w.live()))
			if made.Resumed && made.ID.day() != "2026-11-23" || made.Parent > made.ID {
				t.Errorf("crash at %d: %s, resumed: %v, links to %s", at, made.ID, made.Resumed, made.Parent)
			}
			for _, id := range []ID{other.ID, old.ID} {
				if _, err := w.store().Delete(t.Context(), []ID{id}, DeleteOptions{}); err != nil {
					t.Fatalf("crash at %d: removing %s: %v", at, id, err)
				}
				wantSame(t, "snapshot", len(contents(t, w.store(), made.ID)), len(w.live()))
			}
		}
	}
}
