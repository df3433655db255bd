package snapshot

import (
	"errors"
	"testing"
	"time"

	"github.com/cgs3fs/cgs3fs/s3"
)

// TestDamagedManifestStopsNoOther cuts one snapshot's manifest short. The others are
// listed, found and made; but nothing is removed that it may link to.
func TestDamagedManifestStopsNoOther(t *testing.T) {
	w := newWorld(t)
	w.fill(9)
	w.create(CreateOptions{})
	w.clock.advance(24 * time.Hour)
	w.create(CreateOptions{Incremental: true})
	w.mem.PutBytes("data/.cgs3fs/2026-11-24/manifest.json", []byte("{"))
	for range 2 { // of the same day, and of the next
		w.clock.advance(12 * time.Hour)
		made := w.create(CreateOptions{Incremental: true})
		if latest, err := w.store().Find(t.Context(), "latest"); err != nil || latest != made.ID {
			t.Errorf("the latest is %s, %v, not %s", latest, err, made.ID)
		}
	}
	list, err := w.store().List(t.Context())
	if err != nil || len(list) != 4 || list[1].State != Damaged || len(Existing(list)) != 3 {
		t.Errorf("listed are %+v, %v", list, err)
	}
	if _, err := w.store().Load(t.Context(), "2026-11-24"); !errors.Is(err, ErrDamaged) {
		t.Errorf("loading it: %v", err)
	}
	before := len(w.mem.Keys())
	for name, remove := range map[string]func() error{
		"prune": func() error {
			_, err := w.store().Prune(t.Context(), PruneOptions{Policy: Policy{Last: 1}})
			return err
		},
		"prune, dry": func() error {
			_, err := w.store().Prune(t.Context(), PruneOptions{Policy: Policy{Last: 1}, DryRun: true})
			return err
		},
		"delete":        func() error { _, err := w.store().Delete(t.Context(), []ID{"2026-11-23"}, DeleteOptions{}); return err },
		"delete itself": func() error { _, err := w.store().Delete(t.Context(), []ID{"2026-11-24"}, DeleteOptions{}); return err },
	} {
		if err := remove(); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if after := len(w.mem.Keys()); after < before {
		t.Errorf("%d keys were removed", before-after)
	}
	if err := w.mem.Delete(t.Context(), s3.Target{Key: "data/.cgs3fs/2026-11-24/manifest.json"}); err != nil {
		t.Fatal(err)
	}
	if pruned, err := w.store().Prune(t.Context(), PruneOptions{Policy: Policy{Last: 1}, Incomplete: true}); err != nil || len(pruned.Removed) != 3 {
		t.Errorf("without the manifest: %+v, %v", pruned, err)
	}
}

// A plan that can't be read is of one snapshot; it must not keep all others from
// being removed for ever.
func TestDamagedPlanStopsNoDelete(t *testing.T) {
	w := newWorld(t)
	w.fill(9)
	w.create(CreateOptions{})
	w.clock.advance(24 * time.Hour)
	kept := w.create(CreateOptions{})
	w.clock.advance(24 * time.Hour)
	left := w.interrupt(CreateOptions{})
	s := w.store()
	w.mem.PutBytes(s.at.plans(left)+numbered(1), []byte("no plan"))
	w.mem.PutBytes(s.at.brings(kept.ID)+"x.ndjson.gz", []byte("no plan"))
	pruned, err := s.Prune(t.Context(), PruneOptions{Policy: Policy{Last: 1}, Incomplete: true})
	if err != nil || len(pruned.Removed) != 2 {
		t.Fatalf("%+v, %v", pruned, err)
	}
	list, err := s.List(t.Context())
	if err != nil || len(list) != 1 || list[0].ID != kept.ID {
		t.Errorf("left are %+v, %v", list, err)
	}
	wantSame(t, "the snapshot", contents(t, s, kept.ID), w.live())
}
