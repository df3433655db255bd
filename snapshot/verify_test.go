package snapshot

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cgs3fs/cgs3fs/s3"
	"github.com/cgs3fs/cgs3fs/s3/s3test"
)

// spoil damages the first snapshot of a history in every way: a copy missing, one
// altered, and a stranger among them.
func spoil(t testing.TB, w *world) {
	t.Helper()
	if err := w.mem.Delete(t.Context(), s3.Target{Key: "data/2026/11/23/dir0/file03"}); err != nil {
		t.Fatal(err)
	}
	w.mem.PutBytes("data/2026/11/23/dir1/file04", []byte("altered"))
	w.mem.PutBytes("data/2026/11/23/stranger", []byte("x"))
}

func kinds(problems []Problem) []string {
	var list []string
	for _, p := range problems {
		list = append(list, string(p.Fault)+" "+p.Key)
	}
	slices.Sort(list)
	return list
}

func TestVerifyFindsDamageAlsoThroughLinks(t *testing.T) {
	w := newWorld(t)
	history(t, w)
	s := w.store()
	for _, level := range []Level{ByListing, ByHead, ByReading} {
		found, err := s.Verify(t.Context(), "2026-11-25", VerifyOptions{Level: level})
		if err != nil || !found.OK() || found.Objects != 10 || found.Unproven != 0 {
			t.Errorf("%s before: %+v, %v", level, found, err)
		}
	}
	spoil(t, w)
	want := []string{"altered dir1/file04", "foreign stranger", "missing dir0/file03"}
	for _, level := range []Level{ByListing, ByHead, ByReading} {
		found, err := s.Verify(t.Context(), "2026-11-23", VerifyOptions{Level: level})
		if err != nil || found.OK() || found.Damaged != 2 {
			t.Errorf("%s: %+v, %v", level, found, err)
		}
		wantSame(t, string(level), kinds(found.Problems), want)
	}
	linked, err := s.Verify(t.Context(), "2026-11-25", VerifyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	wantSame(t, "by its links", kinds(linked.Problems), []string{"altered dir1/file04", "missing dir0/file03"})
}

func TestVerifyByReadingFindsRot(t *testing.T) {
	w := newWorld(t)
	w.mem.PutBytes("key", []byte("content"))
	w.create(CreateOptions{})
	rot := rotten{w.mem}
	found, err := w.open(rot).Verify(t.Context(), "2026-11-23", VerifyOptions{Level: ByReading})
	if err != nil || found.Damaged != 1 {
		t.Errorf("%+v, %v", found, err)
	}
}

func TestRepairFromTheSourceAndFromOtherSnapshots(t *testing.T) {
	w := newWorld(t)
	w.fill(6)
	w.create(CreateOptions{})
	before := w.live()
	w.clock.advance(24 * time.Hour)
	w.create(CreateOptions{}) // full: has copies of its own
	w.mem.PutBytes("dir0/file03", []byte("the source has another version now"))
	spoil(t, w)
	s := w.store()
	found, err := s.Verify(t.Context(), "2026-11-23", VerifyOptions{Repair: true})
	if err != nil || !found.OK() || found.Repaired != 2 {
		t.Fatalf("%+v, %v", found, err)
	}
	wantSame(t, "repaired", contents(t, s, "2026-11-23"), before)
	found, err = s.Verify(t.Context(), "2026-11-23", VerifyOptions{Level: ByReading})
	if err != nil || found.Damaged != 0 {
		t.Errorf("after repair: %+v, %v", found, err)
	}
}

func TestVerifyTellsADamagedManifest(t *testing.T) {
	w := newWorld(t)
	w.fill(6)
	w.create(CreateOptions{})
	s := w.store()
	m, err := s.Load(t.Context(), "2026-11-23")
	if err != nil {
		t.Fatal(err)
	}
	w.mem.PutBytes(s.at.dir(m.ID)+m.Segments[0].Name, []byte("not a segment"))
	found, err := s.Verify(t.Context(), "2026-11-23", VerifyOptions{})
	if err != nil || found.OK() || len(found.Segments) != 1 {
		t.Errorf("%+v, %v", found, err)
	}
}

func TestSamplesPartitionTheKeys(t *testing.T) {
	for i := range 1000 {
		key := strings.Repeat("k", i%7) + string(rune('a'+i%26)) + strings.Repeat("x", i/26)
		n := 0
		for part := 1; part <= 7; part++ {
			if (Sample{part, 7}).takes(key) {
				n++
			}
		}
		if n != 1 {
			t.Fatalf("%q is in %d of 7 samples", key, n)
		}
	}
}

func TestRepairMendsWhatItCanBesideADamagedManifest(t *testing.T) {
	w := newWorld(t)
	w.fill(9)
	w.create(CreateOptions{})
	s := w.store()
	m, err := s.Load(t.Context(), "2026-11-23")
	if err != nil || len(m.Segments) < 2 {
		t.Fatalf("%d segments, %v", len(m.Segments), err)
	}
	last := m.Segments[len(m.Segments)-1]
	w.mem.PutBytes(s.at.dir(m.ID)+last.Name, []byte("not a segment"))
	if err := w.mem.Delete(t.Context(), s3.Target{Key: "data/2026/11/23/dir0/file03"}); err != nil {
		t.Fatal(err)
	}
	found, err := s.Verify(t.Context(), m.ID, VerifyOptions{Repair: true})
	if err != nil || found.OK() || len(found.Segments) != 1 || found.Repaired != 1 {
		t.Errorf("%+v, %v", found, err)
	}
	if _, there := w.mem.Bytes("data/2026/11/23/dir0/file03"); !there {
		t.Error("the copy is still missing")
	}
}

func TestRepairDryRunTellsAndWritesNothing(t *testing.T) {
	w := newWorld(t)
	history(t, w)
	spoil(t, w)
	before := len(w.mem.Keys())
	found, err := w.store().Verify(t.Context(), "2026-11-23", VerifyOptions{Repair: true, DryRun: true})
	if err != nil || found.Damaged != 2 || found.Repaired != 2 || found.Cost.Copies != 2 || found.Cost.Bytes != 49 {
		t.Errorf("%+v, %v", found, err)
	}
	if after := len(w.mem.Keys()); after != before {
		t.Errorf("%d keys instead of %d", after, before)
	}
	if again, err := w.store().Verify(t.Context(), "2026-11-23", VerifyOptions{}); err != nil || again.Damaged != 2 {
		t.Errorf("after the dry run: %+v, %v", again, err)
	}
}

// TestRepairOfALinkTakesTheOwnersNewCopy has ETags that every copy changes: when
// the owner was repaired, the links to it name a copy that is no more.
func TestRepairOfALinkTakesTheOwnersNewCopy(t *testing.T) {
	w := newWorld(t)
	w.mem = s3test.NewMem(s3test.MemConfig{Now: w.clock.now, MinPartSize: 1, Checksums: true, OpaqueETags: true})
	w.fill(9)
	want := w.live()
	w.create(CreateOptions{})
	w.clock.advance(24 * time.Hour)
	w.create(CreateOptions{Incremental: true})
	if err := w.mem.Delete(t.Context(), s3.Target{Key: "data/2026/11/23/dir0/file03"}); err != nil {
		t.Fatal(err)
	}
	for _, id := range []ID{"2026-11-23", "2026-11-24"} {
		found, err := w.store().Verify(t.Context(), id, VerifyOptions{Repair: true})
		if err != nil || !found.OK() {
			t.Fatalf("%s: %+v, %v", id, found, err)
		}
		w.mem.PutBytes("dir0/file03", []byte("the source has another by now"))
		wantSame(t, string(id), contents(t, w.store(), id), want)
	}
}

// TestVerifyBesideAPruneIsNoFalseAlarm has a prune move copies and segments away
// while they are looked at.
func TestVerifyBesideAPruneIsNoFalseAlarm(t *testing.T) {
	w := newWorld(t)
	history(t, w)
	bucket := &intruder{Bucket: w.mem, op: s3.OpGet, key: "data/.cgs3fs/2026-11-25/manifest.json", after: func() {
		if _, err := w.store().Delete(t.Context(), []ID{"2026-11-23"}, DeleteOptions{}); err != nil {
			t.Error(err)
		}
	}}
	found, err := w.open(bucket).Verify(t.Context(), "2026-11-25", VerifyOptions{})
	if err != nil || !found.OK() || found.Objects != 10 {
		t.Errorf("%+v, %v", found, err)
	}
	spoil(t, w)
	if err := w.mem.Delete(t.Context(), s3.Target{Key: "data/2026/11/24/dir0/file03"}); err != nil {
		t.Fatal(err)
	}
	if found, err := w.store().Verify(t.Context(), "2026-11-25", VerifyOptions{}); err != nil || found.Damaged != 1 {
		t.Errorf("damage is %+v, %v", found, err)
	}
}
