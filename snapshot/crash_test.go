package snapshot

import (
	"fmt"
	"testing"
	"time"

	"github.com/cgs3fs/cgs3fs/s3"
	"github.com/cgs3fs/cgs3fs/s3/s3test"
)

// moments are all that a crash can be at.
var moments = []s3test.Moment{s3test.BeforeCall, s3test.AfterCall, s3test.InBody}

// crashEverywhere runs work once for each call that it makes and each moment of the
// call, with a crash there, each time in the world that begin makes. Then check and
// a second run that nothing disturbs; the two together must copy nothing twice and
// leave no upload.
func crashEverywhere(t *testing.T, mem s3test.MemConfig, begin func(*world), work func(*Store) error, check func(w *world, done bool)) {
	t.Helper()
	origin := newWorld(t)
	mem.Now, mem.MinPartSize = origin.clock.now, 1
	origin.mem = s3test.NewMem(mem)
	begin(origin)
	live := origin.live()
	for _, when := range moments {
		for at := 1; ; at++ {
			w := origin.fork()
			counter := &copyCounter{Bucket: w.mem, made: map[string]int{}}
			faulty := s3test.NewFaulty(counter, s3test.Plan{Crash: s3test.Crash{At: at, When: when}})
			err := work(w.open(faulty))
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
			check(w, false)
			w.clock.advance(leaseDead)
			if err := work(w.open(counter)); err != nil {
				t.Fatalf("after a crash at %d, moment %d: %v", at, when, err)
			}
			check(w, true)
			counter.wantOnce(t, at)
			wantSame(t, "live data", w.live(), live)
			wantNoStrays(t, w, at)
			if u := w.mem.Uploads(); len(u) > 0 {
				t.Fatalf("crash at %d, moment %d leaves uploads %v", at, when, u)
			}
			if t.Failed() {
				t.Fatalf("crash at %d, moment %d", at, when)
			}
		}
	}
}

// hasBody says whether a call sends one.
func hasBody(op string) bool { return op == s3.OpPut || op == s3.OpPart }

// buckets are the kinds that differ in what proves a copy.
var buckets = map[string]s3test.MemConfig{
	"ETags":     {},
	"checksums": {Checksums: true, OpaqueETags: true},
}

func TestMaterializeSurvivesACrashAnywhere(t *testing.T) {
	t.Parallel()
	var want map[ID]map[string]string
	crashEverywhere(t, buckets["checksums"],
		func(w *world) { want = history(t, w) },
		func(s *Store) error { return s.Materialize(t.Context(), "2026-11-25") },
		func(w *world, done bool) {
			if n := wantIntact(t, w, want); n != 3 {
				t.Fatalf("%d snapshots", n)
			}
			if m, err := w.store().Load(t.Context(), "2026-11-25"); done && (err != nil || m.Own != m.Objects) {
				t.Fatalf("%d of %d objects are its own, %v", m.Own, m.Objects, err)
			}
		})
}

// TestRehomeSurvivesACrashAnywhere deletes the snapshot that two others link to:
// the older of them gets the copies, the other must link to it.
func TestRehomeSurvivesACrashAnywhere(t *testing.T) {
	t.Parallel()
	var want map[ID]map[string]string
	crashEverywhere(t, buckets["ETags"],
		func(w *world) { want = history(t, w) },
		func(s *Store) error {
			_, err := s.Prune(t.Context(), PruneOptions{Policy: Policy{Last: 2}})
			return err
		},
		func(w *world, done bool) {
			if n := wantIntact(t, w, want, "2026-11-24", "2026-11-25"); done && n != 2 {
				t.Fatalf("%d snapshots", n)
			}
		})
}

// hurt makes three days of snapshots of which the first, that the others link
// to, lost copies: one that the source still has, one that only another full
// snapshot has, and one of an object that is copied in parts.
func hurt(t *testing.T, w *world) map[ID]map[string]string {
	t.Helper()
	w.mem.PutBytes("big", []byte(fmt.Sprintf("%090d", 7)))
	want := history(t, w)
	w.create(CreateOptions{})
	want["2026-11-26"] = w.live()
	w.clock.advance(24 * time.Hour)
	w.mem.PutBytes("dir0/file03", []byte("another version"))
	err := w.mem.Delete(t.Context(),
		s3.Target{Key: "data/2026/11/23/dir0/file03"}, s3.Target{Key: "data/2026/11/23/big"}, s3.Target{Key: "data/2026/11/23/dir1/file01"})
	if err != nil {
		t.Fatal(err)
	}
	w.mem.PutBytes("data/2026/11/23/dir1/file04", []byte("altered"))
	return want
}

func TestRepairSurvivesACrashAnywhere(t *testing.T) {
	for kind, id := range map[string]ID{"checksums": "2026-11-23", "ETags": "2026-11-24"} { // the owner, and one that links
		t.Run(string(id), func(t *testing.T) {
			t.Parallel()
			var want map[ID]map[string]string
			crashEverywhere(t, buckets[kind],
				func(w *world) { want = hurt(t, w) },
				func(s *Store) error {
					found, err := s.Verify(t.Context(), id, VerifyOptions{Repair: true, Level: ByReading})
					if err == nil && !found.OK() {
						err = fmt.Errorf("%+v", found)
					}
					return err
				},
				func(w *world, done bool) {
					s := w.store()
					if _, err := s.Load(t.Context(), id); err != nil {
						t.Fatal(err)
					}
					if done {
						wantSame(t, string(id), contents(t, s, id), want[id])
					}
				})
		})
	}
}
