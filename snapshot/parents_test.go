package snapshot

import (
	"errors"
	"testing"
	"time"
)

// A run that is finished late links to what was there before it, not to what
// others made meanwhile: whoever removes snapshots trusts that owners are older.
func TestFinishedLateItLinksToWhatIsOlder(t *testing.T) {
	for _, test := range []struct {
		name   string
		parent string
		want   ID
		err    error
	}{
		{name: "the newest", want: "2026-11-23"},
		{name: "the newest by name", parent: "latest", want: "2026-11-23"},
		{name: "one named", parent: "2026-11-23", want: "2026-11-23"},
		{name: "a later one", parent: "2026-11-24", err: ErrRefused},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			w.fill(9)
			w.create(CreateOptions{})
			w.clock.advance(14 * time.Hour)
			o := CreateOptions{Incremental: true, Parent: test.parent}
			if test.err != nil {
				o.Parent = ""
			}
			w.mem.PutBytes("dir1/new", []byte("new"))
			interrupted := w.abandon(w.begin(w.store(), o))
			w.clock.advance(2 * time.Hour)
			w.create(CreateOptions{From: "dir1/"}) // 2026-11-24
			if test.err != nil {
				list, err := w.store().List(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				o.Parent = test.parent
				if _, err := w.store().parents(t.Context(), o, Existing(list), interrupted, w.clock.now()); !errors.Is(err, test.err) {
					t.Errorf("got %v", err)
				}
				return
			}
			made := w.create(o)
			if made.ID != interrupted || made.Parent != test.want || made.Own != 1 {
				t.Errorf("%s, which was %s, links to %s and has %d objects of its own", made.ID, interrupted, made.Parent, made.Own)
			}
			wantSame(t, "it", contents(t, w.store(), made.ID), w.live())
		})
	}
}

// Yesterday is that of the day on which a run began, also if it is finished on
// another.
func TestFinishedLateItLinksToTheDayBeforeItBegan(t *testing.T) {
	w := newWorld(t)
	w.fill(9)
	w.create(CreateOptions{})
	w.clock.advance(38 * time.Hour)
	o := CreateOptions{Incremental: true, Parent: "yesterday"}
	interrupted := w.abandon(w.begin(w.store(), o))
	w.clock.advance(2 * time.Hour)
	if made := w.create(o); made.ID != interrupted || made.Parent != "2026-11-23" || made.Own != 0 {
		t.Errorf("%s, which was %s, links to %s and has %d objects of its own", made.ID, interrupted, made.Parent, made.Own)
	}
}

func TestFullIsDueIfTheLastOneIsOldOrOfOtherKeys(t *testing.T) {
	w := newWorld(t)
	w.fill(9)
	o := CreateOptions{Incremental: true, FullEvery: 48 * time.Hour}
	for day, want := range []Mode{Full, Incremental, Full, Incremental} {
		if made := w.create(o); made.Mode != want {
			t.Errorf("on day %d it is %s, not %s", day, made.Mode, want)
		}
		w.clock.advance(time.Hour)
		w.create(CreateOptions{From: "dir1/"})
		w.clock.advance(23 * time.Hour)
	}
}

// A run that began as a full one stays so, although a full one was made meanwhile
// that would do, and one that began to link goes on linking.
func TestInterruptedRunStaysFullOrIncremental(t *testing.T) {
	for _, want := range []Mode{Full, Incremental} {
		w := newWorld(t)
		w.fill(9)
		w.create(CreateOptions{})
		o := CreateOptions{Incremental: true, FullEvery: 14 * time.Hour}
		if want == Incremental {
			o.FullEvery = 15 * time.Hour
		}
		w.clock.advance(14 * time.Hour)
		interrupted := w.interrupt(o)
		w.clock.advance(2 * time.Hour)
		w.abandon(w.begin(w.store(), o))
		if made := w.create(o); made.ID != interrupted || made.Mode != want {
			t.Errorf("%s, which was %s, is %s and not %s", made.ID, interrupted, made.Mode, want)
		}
	}
}
