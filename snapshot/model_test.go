package snapshot

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/cgs3fs/cgs3fs/s3"
	"github.com/cgs3fs/cgs3fs/s3/s3test"
)

// TestModelOfRandomHistories runs snapshots, changes, deletions and crashes in
// random order and checks all snapshots against plain maps.
func TestModelOfRandomHistories(t *testing.T) {
	steps := 10_000
	if testing.Short() {
		steps = 1000
	}
	const length = 250
	for seed := range steps / length {
		t.Run(fmt.Sprint("seed", seed), func(t *testing.T) {
			t.Parallel()
			modelHistory(t, uint64(seed), length)
		})
	}
}

func modelHistory(t *testing.T, seed uint64, steps int) {
	t.Helper()
	w := newWorld(t)
	r := rand.New(rand.NewPCG(seed, 0))
	want := map[ID]map[string]string{}
	for step := range steps {
		w.clock.advance(time.Duration(r.IntN(20)) * time.Hour)
		key := fmt.Sprintf("k%d", r.IntN(12))
		switch r.IntN(22) {
		default:
			w.mem.PutBytes(key, []byte(fmt.Sprintf("%*d", r.IntN(90), step)))
		case 4:
			if err := w.mem.Delete(t.Context(), s3.Target{Key: key}); err != nil {
				t.Fatal(err)
			}
		case 5, 6:
			modelCreate(t, w, r, want)
		case 7:
			modelPrune(t, w, r)
		case 8:
			if list := modelExisting(t, w); len(list) > 0 {
				id := list[r.IntN(len(list))].ID
				if err := w.store().Materialize(t.Context(), id); err != nil {
					t.Fatalf("seed %d, step %d: materialize: %v", seed, step, err)
				}
			}
		case 9:
			modelDelete(t, w, r)
		case 10:
			w.clock.advance(leaseDead)
		}
		if step%10 == 9 || step == steps-1 {
			wantIntact(t, w, want)
		}
		if t.Failed() {
			t.Fatalf("seed %d, step %d", seed, step)
		}
	}
}

// crashing is a store that fails at a random call, in half of the cases.
func crashing(w *world, r *rand.Rand) *Store {
	plan := s3test.Plan{}
	if r.IntN(2) == 0 {
		plan.Crash = s3test.Crash{At: 1 + r.IntN(60), When: s3test.Moment(r.IntN(2))}
	}
	return w.open(s3test.NewFaulty(w.mem, plan))
}

func modelCreate(t *testing.T, w *world, r *rand.Rand, want map[ID]map[string]string) {
	t.Helper()
	live := w.live()
	o := CreateOptions{Incremental: r.IntN(3) > 0}
	before := modelExisting(t, w)
	for id := range want { // an ID may come again
		if !slices.ContainsFunc(before, func(i Info) bool { return i.ID == id }) {
			delete(want, id)
		}
	}
	_, err := crashing(w, r).Create(t.Context(), o)
	for _, info := range modelExisting(t, w) {
		if want[info.ID] == nil {
			want[info.ID] = live
		}
	}
	if err != nil {
		w.clock.advance(leaseDead)
		if r.IntN(2) == 0 { // what is planned is of before the changes to come: give it up
			if _, err := w.store().Prune(t.Context(), PruneOptions{Incomplete: true}); err != nil {
				t.Fatalf("giving up: %v", err)
			}
			return
		}
		made, err := w.store().Create(t.Context(), o)
		if err != nil {
			t.Fatalf("resuming: %v", err)
		}
		want[made.ID] = live
	}
}

func modelExisting(t *testing.T, w *world) []Info {
	t.Helper()
	list, err := w.store().List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return Existing(list)
}

func modelPrune(t *testing.T, w *world, r *rand.Rand) {
	t.Helper()
	policy := Policy{Last: 1 + r.IntN(4), Daily: r.IntN(3), Weekly: r.IntN(2)}
	if _, err := crashing(w, r).Prune(t.Context(), PruneOptions{Policy: policy}); err != nil {
		w.clock.advance(leaseDead)
	}
}

// modelDelete deletes any one snapshot, also from the middle of a chain.
func modelDelete(t *testing.T, w *world, r *rand.Rand) {
	t.Helper()
	existing := modelExisting(t, w)
	if len(existing) < 2 {
		return
	}
	id := existing[r.IntN(len(existing))].ID
	if _, err := crashing(w, r).Delete(t.Context(), []ID{id}, DeleteOptions{}); err != nil {
		w.clock.advance(leaseDead)
	}
}
