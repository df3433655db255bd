package snapshot

import (
	"errors"
	"testing"
	"time"

	"github.com/cgs3fs/cgs3fs/s3/s3test"
)

// TestTwoBucketsInOnePlace keeps snapshots of two buckets in a third, below one
// prefix. What is done for the one must not be done to the other.
func TestTwoBucketsInOnePlace(t *testing.T) {
	w := newWorld(t)
	backups := w.newMem()
	buckets := map[string]*s3test.Mem{"one": w.newMem(), "two": w.newMem()}
	open := func(name string) *Store { return w.openOf(name, buckets[name], backups) }
	made := map[string][]ID{}
	for range 3 {
		for _, name := range []string{"one", "two"} {
			buckets[name].PutBytes("key", []byte("of "+name))
			m, err := open(name).Create(t.Context(), CreateOptions{Incremental: true})
			if err != nil {
				t.Fatal(err)
			}
			made[name] = append(made[name], m.ID)
			w.clock.advance(time.Minute)
		}
	}
	latest := made["one"][2]
	if id, err := open("one").Find(t.Context(), "latest"); err != nil || id != latest {
		t.Errorf("the latest of one is %s, %v, not %s", id, err, latest)
	}
	if _, err := open("one").Restore(t.Context(), made["two"][2], RestoreOptions{}); !errors.Is(err, ErrRefused) {
		t.Errorf("restoring two's into one: %v", err)
	}
	if got, _ := buckets["one"].Bytes("key"); string(got) != "of one" {
		t.Errorf("one holds %q", got)
	}
	if _, err := open("one").Restore(t.Context(), made["two"][2], RestoreOptions{To: buckets["one"], ToPrefix: "from two/"}); err != nil {
		t.Errorf("restoring where it is told to: %v", err)
	}
	if got, _ := buckets["one"].Bytes("from two/key"); string(got) != "of two" {
		t.Errorf("there is %q", got)
	}

	w.abandon(w.begin(open("two"), CreateOptions{}))
	pruned, err := open("one").Prune(t.Context(), PruneOptions{Policy: Policy{Last: 1}, Incomplete: true})
	if err != nil {
		t.Fatal(err)
	}
	if len(pruned.Removed) != 2 || len(pruned.Incomplete) != 0 {
		t.Errorf("removed %v, of interrupted runs %v", pruned.Removed, pruned.Incomplete)
	}
	list, err := open("two").List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	left := map[string]int{}
	for _, info := range list {
		left[info.Source]++
	}
	if left["one"] != 1 || left["two"] != 4 { // with the interrupted one
		t.Errorf("there are %v left", left)
	}
	for _, id := range made["two"] {
		if found, err := open("two").Verify(t.Context(), id, VerifyOptions{Level: ByReading}); err != nil || !found.OK() {
			t.Errorf("%s: %+v, %v", id, found, err)
		}
	}
	if _, err := w.openOf("three", w.mem, backups).Find(t.Context(), "latest"); !errors.Is(err, ErrNoSnapshot) {
		t.Errorf("the latest of a bucket that has none: %v", err)
	}
}
