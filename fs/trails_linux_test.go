package fs

import (
	"fmt"
	"testing"
	"time"

	"github.com/cgs3fs/cgs3fs/cache"
)

// TestTrailsHoldFewNames walks through large directories at once: their names may
// be forgotten, and what is held of them is not in the budget.
func TestTrailsHoldFewNames(t *testing.T) {
	v := newVersioned(t, Config{ReadAheadFiles: true, NamesMemory: 1 << 30})
	const each = 40_000
	for d := range 8 {
		names := make([]cache.Named[entry], each)
		for i := range names {
			part := fmt.Sprintf("%05d", i)
			names[i] = cache.Named[entry]{Name: part, Entry: entry{part: part}}
		}
		prefix := fmt.Sprint(d, "/")
		v.fs.names.Begin(prefix).Done(names)
		v.fs.siblings.mu.Lock()
		if v.fs.newTrail(v.fs.tree.root, prefix, time.Now()) == nil {
			t.Error("no trail of a directory whose names are known")
		}
		held := 0
		for _, trail := range v.fs.siblings.trails {
			held += len(trail.names)
		}
		v.fs.siblings.mu.Unlock()
		if held > trailNames {
			t.Fatalf("%d names are held", held)
		}
	}
}
