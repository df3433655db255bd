package snapshot

import (
	"fmt"
	"testing"
	"time"

	"github.com/cgs3fs/cgs3fs/s3"
	"github.com/cgs3fs/cgs3fs/s3/s3test"
)

// Each manifest is read to see that nobody is at work, and those of the last day
// to see what is to be finished, but not all of them for that, however many there
// are of other keys.
func TestOldSnapshotsAreNotAskedWhatToFinish(t *testing.T) {
	w := newWorld(t)
	w.fill(3)
	const many = 40
	for i := range many {
		w.create(CreateOptions{From: fmt.Sprintf("dir%d/", i%3)})
		w.clock.advance(24 * time.Hour)
	}
	f := s3test.NewFaulty(w.mem, s3test.Plan{})
	if _, err := w.open(f).Create(t.Context(), CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if gets := f.Calls()[s3.OpGet]; gets > many+10 {
		t.Errorf("%d reads beside %d snapshots", gets, many)
	}
}

// An interrupted run of something else, which is later, does not stand in the way
// of the one that is to be finished.
func TestResumeFindsItsOwnBehindOthers(t *testing.T) {
	w := newWorld(t)
	w.fill(9)
	ours := w.interrupt(CreateOptions{})
	w.clock.advance(time.Hour)
	w.interrupt(CreateOptions{From: "dir1/"})
	w.clock.advance(48 * time.Hour)
	made, err := w.store().Create(t.Context(), CreateOptions{Resume: true})
	if err != nil || made.ID != ours || !made.Resumed {
		t.Errorf("got %+v and %v, not %s", made, err, ours)
	}
}
