package snapshot

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/cgs3fs/cgs3fs/s3"
	"github.com/cgs3fs/cgs3fs/s3/s3test"
)

// intruder has somebody else do something once, right before or after a request
// for a file: where a program may be stopped, and go on later.
type intruder struct {
	s3.Bucket
	op, key       string
	skip          int // such requests, at first
	before, after func()
}

func (i *intruder) meets(op, key string) (after func()) {
	if op != i.op || key != i.key {
		return func() {}
	}
	if i.skip--; i.skip >= 0 {
		return func() {}
	}
	before, after := i.before, i.after
	i.before, i.after = nil, nil
	if before != nil {
		before()
	}
	if after == nil {
		return func() {}
	}
	return after
}

func (i *intruder) Put(ctx context.Context, key string, body io.ReadSeeker, o s3.PutOptions) (s3.Info, error) {
	defer i.meets(s3.OpPut, key)()
	return i.Bucket.Put(ctx, key, body, o)
}

func (i *intruder) Get(ctx context.Context, key string, o s3.GetOptions) (*s3.Body, error) {
	defer i.meets(s3.OpGet, key)()
	return i.Bucket.Get(ctx, key, o)
}

// TestRunThatComesLateLeavesTheSnapshotAlone has another run make the snapshot
// of the day, all of it, between this one's choice of the ID and its claim.
func TestRunThatComesLateLeavesTheSnapshotAlone(t *testing.T) {
	w := newWorld(t)
	w.fill(9)
	before := w.live()
	bucket := &intruder{Bucket: w.mem, op: s3.OpPut, key: "data/.cgs3fs/2026-11-23/claim.json", before: func() {
		w.create(CreateOptions{})
		w.mem.PutBytes("dir0/file03", []byte("changed after it"))
	}}
	if _, err := w.open(bucket).Create(t.Context(), CreateOptions{}); !errors.Is(err, ErrLocked) {
		t.Errorf("the late run gets %v", err)
	}
	wantSame(t, "the snapshot", contents(t, w.store(), "2026-11-23"), before)
	if made := w.create(CreateOptions{}); made.ID == "2026-11-23" {
		t.Errorf("the next is %s", made.ID)
	}
}

// TestRunThatComesLateTakesNothingOver has another run with other options begin
// and fail in between: only who wants the same may go on with its work.
func TestRunThatComesLateTakesNothingOver(t *testing.T) {
	w := newWorld(t)
	w.fill(9)
	only := CreateOptions{From: "dir1/"}
	bucket := &intruder{Bucket: w.mem, op: s3.OpPut, key: "data/.cgs3fs/2026-11-23/claim.json", before: func() {
		w.interrupt(only)
	}}
	if _, err := w.open(bucket).Create(t.Context(), CreateOptions{}); !errors.Is(err, ErrLocked) {
		t.Errorf("the late run gets %v", err)
	}
	if made := w.create(only); !made.Resumed || made.ID != "2026-11-23" {
		t.Errorf("the other goes on with %+v", made)
	}
}

// TestInterruptedBeginningLocksNobodyOut interrupts a run right after its claim.
func TestInterruptedBeginningLocksNobodyOut(t *testing.T) {
	w := newWorld(t)
	w.fill(3)
	ctx, cancel := context.WithCancel(t.Context())
	bucket := &intruder{Bucket: w.mem, op: s3.OpGet, key: "data/.cgs3fs/2026-11-23/manifest.json", before: cancel}
	if _, err := w.open(bucket).Create(ctx, CreateOptions{}); !errors.Is(err, s3.ErrCanceled) {
		t.Errorf("the run gets %v", err)
	}
	w.create(CreateOptions{From: "dir1/"})
}

// TestRunOverMidnightIsAlone has the next day's run come while the last one is at
// work: it would take the other's copies for data.
func TestRunOverMidnightIsAlone(t *testing.T) {
	w := newWorld(t)
	w.fill(9)
	w.clock.advance(15*time.Hour - leaseBeat)
	live := w.live()
	c := w.begin(w.store(), CreateOptions{})
	w.clock.advance(leaseBeat)
	if made, err := w.store().Create(t.Context(), CreateOptions{}); !errors.Is(err, ErrLocked) {
		t.Errorf("the next run makes %+v, %v", made, err)
	}
	if list, err := w.store().List(t.Context()); err != nil || len(list) != 1 {
		t.Errorf("there are %+v, %v", list, err)
	}
	if _, err := c.make(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantIntact(t, w, map[ID]map[string]string{"2026-11-23": live}, "2026-11-23")
}

// TestNothingIsTidiedThatAPruneWrote stops a run right after its commit, until a
// prune has moved copies into the new snapshot.
func TestNothingIsTidiedThatAPruneWrote(t *testing.T) {
	w := newWorld(t)
	w.fill(9)
	w.create(CreateOptions{})
	w.clock.advance(24 * time.Hour)
	live := w.live()
	bucket := &intruder{Bucket: w.mem, op: s3.OpPut, key: "data/.cgs3fs/2026-11-24/manifest.json", after: func() {
		w.clock.advance(leaseDead)
		if _, err := w.store().Prune(t.Context(), PruneOptions{Policy: Policy{Last: 1}}); err != nil {
			t.Error(err)
		}
	}}
	if _, err := w.open(bucket).Create(t.Context(), CreateOptions{Incremental: true}); err != nil {
		t.Fatal(err)
	}
	if n := wantIntact(t, w, map[ID]map[string]string{"2026-11-24": live}); n != 1 {
		t.Errorf("%d snapshots", n)
	}
}

// TestClaimOfWhoWasFasterIsSeen has a third run take an ended claim over between
// the two requests of who looks at it.
func TestClaimOfWhoWasFasterIsSeen(t *testing.T) {
	w := newWorld(t)
	s := w.store()
	take := func(s *Store, run string) (*lease, error) {
		l, _, err := s.acquire(t.Context(), s.at.lock(), s.newClaim(run, "work"), false)
		return l, err
	}
	first, err := take(s, "a")
	if err != nil {
		t.Fatal(err)
	}
	if err := first.abandon(t.Context()); err != nil {
		t.Fatal(err)
	}
	slow := w.open(&intruder{Bucket: w.mem, op: s3.OpGet, key: s.at.lock(), skip: 1, after: func() {
		if _, err := take(s, "b"); err != nil {
			t.Error(err)
		}
	}})
	if _, err := take(slow, "c"); !errors.Is(err, ErrLocked) {
		t.Errorf("the slow one gets %v", err)
	}
}

// TestNothingIsTidiedWithoutTheLease stops a prune before it tidies up, for longer
// than its lease lasts.
func TestNothingIsTidiedWithoutTheLease(t *testing.T) {
	w := newWorld(t)
	w.fill(9)
	m := w.create(CreateOptions{}).Manifest
	s := w.store()
	segment := s.at.segments(m.ID) + "00000001-run9~0123.ndjson.gz"
	l, _, err := s.acquire(t.Context(), s.at.lock(), s.newClaim("a", "prune"), false)
	if err != nil {
		t.Fatal(err)
	}
	w.clock.advance(leaseDead)
	w.mem.PutBytes(segment, []byte("of the next who has the lock"))
	if err := s.tidy(t.Context(), l, m); !errors.Is(err, ErrLost) {
		t.Errorf("got %v", err)
	}
	if _, there := w.mem.Bytes(segment); !there {
		t.Error("is gone")
	}
}

// TestServerThatIgnoresConditionsIsTold takes a lease where two could hold it.
func TestServerThatIgnoresConditionsIsTold(t *testing.T) {
	for _, ignores := range []bool{false, true} {
		w := newWorld(t)
		w.mem = s3test.NewMem(s3test.MemConfig{Now: w.clock.now, MinPartSize: 1, NoCondition: ignores})
		w.fill(3)
		var log bytes.Buffer
		cfg := w.config(w.mem)
		cfg.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))
		if _, err := w.openConfig(cfg).Create(t.Context(), CreateOptions{}); err != nil {
			t.Error(err)
		}
		if told := strings.Contains(log.String(), "ignores conditions"); told != ignores {
			t.Errorf("ignores: %v, log: %s", ignores, log.String())
		}
	}
}
