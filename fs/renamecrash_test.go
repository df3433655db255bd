package fs

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cgs3fs/cgs3fs/s3"
	"github.com/cgs3fs/cgs3fs/s3/s3test"
)

// TestRenameOfADirectoryCrashesWithoutLoss crashes the rename of a directory at each
// of its calls. Every file is then whole under the old name, the new one, or both, and
// none is gone from the old one before all are under the new one; the next mount shows
// what there is.
func TestRenameOfADirectoryCrashesWithoutLoss(t *testing.T) {
	const files = 120 // more than one request deletes
	dir := privateDir(t)
	content := func(i int) string { return fmt.Sprintf("content of file %d", i) }
	name := func(i int) string { return fmt.Sprintf("%d/file%d", i%7, i) }
	crashed := func(crash s3test.Crash) (*s3test.Mem, []s3test.Call) {
		mem := simBucket()
		mem.PutBytes("d/", nil)
		for i := range files {
			mem.PutBytes("d/"+name(i), []byte(content(i)))
		}
		m := newSimMount(t, mem, filepath.Join(dir, "a"), simConfig{
			Config:   Config{TTL: time.Minute, NegativeTTL: time.Minute},
			attempts: 2, sleep: func(context.Context, time.Duration) error { return nil },
		})
		m.faulty.SetPlan(s3test.Plan{Crash: crash})
		if _, _, errno := m.k.rename("d", "e"); (errno == 0) != (crash.At == 0) {
			t.Errorf("crash at call %d: %v", crash.At, errno)
		}
		calls := m.faulty.Log()
		if err := m.end(); err != nil {
			t.Error(err)
		}
		return mem, calls
	}
	_, calls := crashed(s3test.Crash{})
	runs, deletes := 0, 0
	for _, call := range calls {
		if call.Op == s3.OpDelete {
			deletes++
		}
		for _, when := range crashMoments(call.Op) {
			mem, _ := crashed(s3test.Crash{At: call.N, When: when})
			runs++
			old, moved := 0, 0
			for i := range files {
				from, here := mem.Bytes("d/" + name(i))
				to, there := mem.Bytes("e/" + name(i))
				if !here && !there || here && string(from) != content(i) || there && string(to) != content(i) {
					t.Fatalf("crash at call %d, %s, moment %d: %s holds %q, and moved %q", call.N, call.Op, when, name(i), from, to)
				}
				if here {
					old++
				}
				if there {
					moved++
				}
			}
			if old < files && moved < files {
				t.Errorf("crash at call %d, %s, moment %d: %d files are left under the old name, and only %d under the new one", call.N, call.Op, when, old, moved)
			}
			for _, key := range mem.Keys() {
				if !strings.HasPrefix(key, "d/") && !strings.HasPrefix(key, "e/") {
					t.Errorf("crash at call %d: %q is left", call.N, key)
				}
			}
			if call.Op == s3.OpCopy && runs%10 != 0 {
				continue // the next mount takes longer than all the rest
			}
			next := newSimMount(t, mem, filepath.Join(dir, "b"), simConfig{Config: Config{TTL: time.Minute, NegativeTTL: time.Minute}})
			if problem := sameAsBucket(next, contents(mem)); problem != "" {
				t.Errorf("crash at call %d: the next mount: %s", call.N, problem)
			}
			if err := next.end(); err != nil {
				t.Error(err)
			}
		}
	}
	if deletes < 2 || runs < 2*files {
		t.Errorf("%d crashes, %d requests that delete: the test proves too little", runs, deletes)
	}
	t.Logf("%d crashes", runs)
}
