package snapshot

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cgs3fs/cgs3fs/s3"
	"github.com/cgs3fs/cgs3fs/s3/s3test"
)

// history makes three days of snapshots, the later two incremental, with a
// change each day, and returns what each must hold.
func history(t testing.TB, w *world) map[ID]map[string]string {
	t.Helper()
	w.fill(6)
	want := map[ID]map[string]string{}
	for day := range 3 {
		w.mem.PutBytes("changes", []byte(fmt.Sprint("day ", day)))
		w.mem.PutBytes(fmt.Sprintf("new%d", day), []byte(strings.Repeat("n", 80+day)))
		made := w.create(CreateOptions{Incremental: day > 0})
		want[made.ID] = w.live()
		w.clock.advance(24 * time.Hour)
	}
	return want
}

// wantIntact checks that every snapshot that a list calls complete is, that it is
// what it was when it was made, and that some are there for certain.
func wantIntact(t testing.TB, w *world, want map[ID]map[string]string, must ...ID) (existing int) {
	t.Helper()
	s := w.store()
	list, err := s.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	there := map[ID]bool{}
	for _, info := range Existing(list) {
		there[info.ID] = true
		wantSame(t, string(info.ID), contents(t, s, info.ID), want[info.ID])
	}
	for _, id := range must {
		if !there[id] {
			t.Fatalf("%s is gone", id)
		}
	}
	return len(there)
}

func TestDeleteRehomesWhatIsLinked(t *testing.T) {
	w := newWorld(t)
	want := history(t, w)
	removals, err := w.store().Delete(t.Context(), []ID{"2026-11-23"}, DeleteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	removed := removals.Removed
	if len(removed) != 1 || removed[0].Objects != 8 || removed[0].Foreign != 0 {
		t.Errorf("removed %+v", removed)
	}
	if n := wantIntact(t, w, want, "2026-11-24", "2026-11-25"); n != 2 {
		t.Errorf("%d snapshots left", n)
	}
	for _, key := range w.mem.Keys() {
		if strings.Contains(key, "2026/11/23/") || strings.Contains(key, "2026-11-23/") {
			t.Errorf("%s is left", key)
		}
	}
}

// TestDeleteTellsBeforehandWhatItCopies compares a dry run with the copies that
// are made, where two snapshots link to what goes.
func TestDeleteTellsBeforehandWhatItCopies(t *testing.T) {
	for _, ids := range [][]ID{{"2026-11-23"}, {"2026-11-24"}, {"2026-11-23", "2026-11-24"}} {
		w := newWorld(t)
		history(t, w)
		before := len(w.mem.Keys())
		counter := &copyCounter{Bucket: w.mem, made: map[string]int{}}
		s := w.open(counter)
		planned, err := s.Delete(t.Context(), ids, DeleteOptions{DryRun: true})
		if err != nil || len(counter.made) > 0 || len(w.mem.Keys()) != before {
			t.Fatalf("a dry run copies %v, %v", counter.made, err)
		}
		if _, err := s.Delete(t.Context(), ids, DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		if planned.Rehome.Copies != int64(len(counter.made)) || len(counter.made) == 0 {
			t.Errorf("%v: %d copies planned, %d made", ids, planned.Rehome.Copies, len(counter.made))
		}
	}
}

func TestDeleteSurvivesACrashAnywhere(t *testing.T) {
	origin := newWorld(t)
	want := history(t, origin)
	live := origin.live()
	for _, when := range moments {
		for at := 1; ; at++ {
			w := origin.fork()
			counter := &copyCounter{Bucket: w.mem, made: map[string]int{}}
			faulty := s3test.NewFaulty(counter, s3test.Plan{Crash: s3test.Crash{At: at, When: when}})
			_, err := w.open(faulty).Delete(t.Context(), []ID{"2026-11-23", "2026-11-24"}, DeleteOptions{})
			if !faulty.Crashed() {
				if err != nil {
					t.Fatal(err)
				}
				break
			}
			if when == s3test.InBody && !hasBody(faulty.Log()[at-1].Op) {
				continue // is BeforeCall
			}
			wantIntact(t, w, want, "2026-11-25")
			w.clock.advance(leaseDead)
			_, err = w.open(counter).Prune(t.Context(), PruneOptions{Policy: Policy{Last: 1}})
			if err != nil {
				t.Fatalf("after a crash at %d: %v", at, err)
			}
			if n := wantIntact(t, w, want, "2026-11-25"); n != 1 {
				t.Fatalf("after a crash at %d: %d snapshots left", at, n)
			}
			wantSame(t, "live data", w.live(), live)
			wantNoStrays(t, w, at)
			counter.wantOnce(t, at)
			if u := w.mem.Uploads(); len(u) > 0 {
				t.Fatalf("crash at %d leaves uploads %v", at, u)
			}
		}
	}
}

// wantNoStrays checks that only existing snapshots have anything in the bucket.
func wantNoStrays(t testing.TB, w *world, at int) {
	t.Helper()
	s := w.store()
	list, err := s.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{s.at.clock(): true, s.at.lock(): true}
	for _, info := range Existing(list) {
		m, err := s.Load(t.Context(), info.ID)
		if err != nil {
			t.Fatal(err)
		}
		known[s.at.manifest(info.ID)] = true
		for _, ref := range m.Segments {
			known[s.at.dir(info.ID)+ref.Name] = true
		}
		for e, err := range s.Entries(t.Context(), m) {
			if err != nil {
				t.Fatal(err)
			}
			known[s.at.place(info.ID, e)] = true
		}
	}
	for _, key := range w.mem.Keys() {
		if strings.HasPrefix(key, "data/") && !known[key] {
			t.Fatalf("after a crash at %d: %s belongs to nothing", at, key)
		}
	}
}

func TestDeleteRefuses(t *testing.T) {
	w := newWorld(t)
	history(t, w)
	s := w.store()
	if err := s.Pin(t.Context(), "2026-11-24", true); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		ids  []ID
		want error
	}{
		{[]ID{"2026-11-24"}, ErrRefused},
		{[]ID{"2026-11-23", "2026-11-24", "2026-11-25"}, ErrRefused},
		{[]ID{"2020-01-01"}, ErrNoSnapshot},
	} {
		if _, err := s.Delete(t.Context(), test.ids, DeleteOptions{}); !errors.Is(err, test.want) {
			t.Errorf("%v: %v, want %v", test.ids, err, test.want)
		}
	}
	if err := s.Pin(t.Context(), "2026-11-24", false); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Delete(t.Context(), []ID{"2026-11-24"}, DeleteOptions{}); err != nil {
		t.Error(err)
	}
}

func TestDeleteLeavesWhatOthersPutThere(t *testing.T) {
	w := newWorld(t)
	history(t, w)
	w.mem.PutBytes("data/2026/11/25/stranger", []byte("x"))
	w.mem.PutBytes("data/2026/11/25/changes", []byte("altered"))
	removals, err := w.store().Delete(t.Context(), []ID{"2026-11-25"}, DeleteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if removed := removals.Removed; removed[0].Foreign != 1 {
		t.Errorf("removed %+v", removed)
	}
	if _, there := w.mem.Bytes("data/2026/11/25/stranger"); !there {
		t.Error("the stranger is gone")
	}
}

func TestPruneWaitsForNobodyWhoCreates(t *testing.T) {
	w := newWorld(t)
	history(t, w)
	c := w.begin(w.store(), CreateOptions{Incremental: true})
	if _, err := w.store().Prune(t.Context(), PruneOptions{Policy: Policy{Last: 1}}); !errors.Is(err, ErrLocked) {
		t.Errorf("prune beside a run: %v", err)
	}
	w.abandon(c)
	if _, err := w.store().Prune(t.Context(), PruneOptions{Policy: Policy{Last: 1}}); err != nil {
		t.Errorf("prune beside a dead run: %v", err)
	}
}

func TestRunThatLinkedToWhatIsGoneCopiesIt(t *testing.T) {
	w := newWorld(t)
	want := history(t, w)
	s := w.store()
	c := w.gather(s, CreateOptions{Incremental: true}) // all is linked, nothing committed
	want[c.id] = w.live()
	w.abandon(c)
	if _, err := s.Prune(t.Context(), PruneOptions{Policy: Policy{Last: 1}}); err != nil {
		t.Fatal(err)
	}
	made := w.create(CreateOptions{Incremental: true})
	if !made.Resumed {
		t.Error("not resumed")
	}
	wantIntact(t, w, want, made.ID, "2026-11-25")
}

func TestPruneRemovesIncompleteOnes(t *testing.T) {
	w := newWorld(t)
	history(t, w)
	s := w.store()
	w.fill(20)
	c := w.gather(s, CreateOptions{})
	for _, key := range []string{s.at.objects(c.id) + "big", s.at.dir(c.id) + "long/0123"} { // of part copies
		if _, err := w.mem.NewUpload(t.Context(), key, s3.PutOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	w.clock.advance(leaseDead)
	pruned, err := s.Prune(t.Context(), PruneOptions{Incomplete: true})
	if err != nil {
		t.Fatal(err)
	}
	if len(pruned.Removed) != 1 || pruned.Removed[0].ID != c.id {
		t.Errorf("removed %+v", pruned.Removed)
	}
	wantNoStrays(t, w, 0)
	if u := w.mem.Uploads(); len(u) > 0 {
		t.Errorf("uploads %v are left", u)
	}
	if _, err := c.commit(t.Context()); !errors.Is(err, ErrLost) {
		t.Errorf("the run that was removed commits: %v", err)
	}
}

func TestMaterializeMakesAPlainSnapshot(t *testing.T) {
	w := newWorld(t)
	want := history(t, w)
	s := w.store()
	if err := s.Materialize(t.Context(), "2026-11-25"); err != nil {
		t.Fatal(err)
	}
	m, err := s.Load(t.Context(), "2026-11-25")
	if err != nil {
		t.Fatal(err)
	}
	if m.Own != m.Objects || m.Mode != Full {
		t.Errorf("%d of %d objects are its own, %s", m.Own, m.Objects, m.Mode)
	}
	wantIntact(t, w, want, slices.Collect(maps.Keys(want))...)
	for key, data := range want["2026-11-25"] {
		if got, _ := w.mem.Bytes("data/2026/11/25/" + key); string(got) != data {
			t.Errorf("%s is not plainly there", key)
		}
	}
}

func TestWhoFinishesADeleteMindsNewLinks(t *testing.T) {
	w := newWorld(t)
	want := history(t, w)
	s := w.store()
	c := w.gather(s, CreateOptions{Incremental: true})
	want[c.id] = w.live()
	w.abandon(c)
	err := s.locked(t.Context(), "half a delete", func(ctx context.Context, l *lease) error {
		_, _, err := s.doom(ctx, l, "2026-11-25") // its copies are all there still
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	w.create(CreateOptions{Incremental: true})
	if _, err := s.Prune(t.Context(), PruneOptions{Policy: Policy{Last: 9}}); err != nil { // finishes the delete
		t.Fatal(err)
	}
	delete(want, "2026-11-25")
	wantIntact(t, w, want, slices.Collect(maps.Keys(want))...)
}
