package snapshot

import (
	"strings"
	"testing"

	"github.com/cgs3fs/cgs3fs/s3"
	"github.com/cgs3fs/cgs3fs/s3/s3test"
)

// leaveUpload leaves in a bucket what a restore was at when it was killed.
func (w *world) leaveUpload(to s3.Bucket, name string) {
	w.t.Helper()
	u, err := (&notingBucket{to, w.store(), name}).NewUpload(w.t.Context(), "big", s3.PutOptions{})
	if err == nil {
		_, err = u.Part(w.t.Context(), 1, strings.NewReader("part"))
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// What a restore left is given up by the next one into that bucket, or by a prune;
// what others are sending under the same key is not.
func TestUploadsThatARestoreLeftAreAborted(t *testing.T) {
	prune := func(w *world, _ s3.Bucket) error {
		_, err := w.store().Prune(t.Context(), PruneOptions{Policy: Policy{Last: 1}})
		return err
	}
	restore := func(w *world, _ s3.Bucket) error {
		_, err := w.store().Restore(t.Context(), "2026-11-23", RestoreOptions{})
		return err
	}
	elsewhere := func(w *world, to s3.Bucket) error {
		_, err := w.store().Restore(t.Context(), "2026-11-23", RestoreOptions{To: to, ToName: "other"})
		return err
	}
	for _, test := range []struct {
		name          string
		run           func(*world, s3.Bucket) error
		mine, another int // uploads that are left in the bucket, with theirs, and in another
	}{
		{"a restore", restore, 1, 1},
		{"a prune", prune, 1, 1},
		{"a restore into the other", elsewhere, 2, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			w.fill(3)
			w.create(CreateOptions{})
			other := w.newMem()
			theirs, err := w.mem.NewUpload(t.Context(), "big", s3.PutOptions{})
			if err != nil {
				t.Fatal(err)
			}
			w.leaveUpload(w.mem, "bucket")
			w.leaveUpload(other, "other")
			if err := test.run(w, other); err != nil {
				t.Fatal(err)
			}
			if mine, another := len(w.mem.Uploads()), len(other.Uploads()); mine != test.mine || another != test.another {
				t.Errorf("%d and %d uploads are left, not %d and %d", mine, another, test.mine, test.another)
			}
			if err := elsewhere(w, other); err != nil || len(other.Uploads()) > 0 {
				t.Errorf("the note of the other bucket's is lost: %v", err)
			}
			if _, err := theirs.Part(t.Context(), 1, strings.NewReader("part")); err != nil {
				t.Error(err)
			}
		})
	}
}

// A restore that goes through this machine loses the target anywhere, and is done
// again.
func TestStreamedRestoreLeavesNoUpload(t *testing.T) {
	for _, when := range moments {
		for at := 1; ; at++ {
			w := newWorld(t)
			other := w.newMem()
			w.mem.PutBytes("big", []byte(strings.Repeat("big", 30)))
			w.create(CreateOptions{})
			crash := s3test.Plan{Crash: s3test.Crash{At: at, When: when}}
			to := s3test.NewFaulty(other, crash)
			_, err := w.store().Restore(t.Context(), "2026-11-23", RestoreOptions{To: to, ToName: "other"})
			if !to.Crashed() {
				if err != nil {
					t.Fatal(err)
				}
				break
			}
			w.clock.advance(leaseDead)
			if _, err := w.store().Restore(t.Context(), "2026-11-23", RestoreOptions{To: other, ToName: "other"}); err != nil {
				t.Fatal(err)
			}
			wantNothingPending(t, w)
			if left := other.Uploads(); len(left) > 0 {
				t.Fatalf("crash at %d, moment %d leaves %v", at, when, left)
			}
		}
	}
}
