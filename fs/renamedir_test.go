package fs

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cgs3fs/cgs3fs/s3"
	"github.com/cgs3fs/cgs3fs/s3/s3test"
)

// withDirectories is a bucket that removes no directory in which something is.
type withDirectories struct {
	s3.Bucket
	mem *s3test.Mem
}

func (b withDirectories) Delete(ctx context.Context, targets ...s3.Target) error {
	time.Sleep(time.Duration(len(targets)) * time.Millisecond)
	for _, t := range targets {
		page, err := b.mem.ListPage(ctx, s3.ListInput{Prefix: t.Key, StartAfter: t.Key, Max: 1})
		if err == nil && strings.HasSuffix(t.Key, "/") && len(page.Objects) > 0 {
			err = &s3.Error{Op: s3.OpDelete, Key: t.Key, Kind: s3.ErrInvalid}
		}
		if err == nil {
			err = b.Bucket.Delete(ctx, t)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// More directories than fit one batch go from the deepest up, on every server.
func TestRenameOfManyDirectories(t *testing.T) {
	synctest.Test(t, renameDirectories)
}

func renameDirectories(t *testing.T) {
	mem := simBucket()
	mem.PutBytes("d/", nil)
	for i := range 2 * deleteBatch {
		mem.PutBytes(fmt.Sprintf("d/%d/", i%10), nil)
		mem.PutBytes(fmt.Sprintf("d/%d/%d/", i%10, i), nil)
	}
	mem.PutBytes("d/1/1/file", []byte("content"))
	before := len(mem.Keys())
	m := newSimMount(t, mem, privateDir(t), simConfig{Config: Config{TTL: time.Minute, NegativeTTL: time.Minute}})
	m.fs.bucket = withDirectories{m.fs.bucket, mem}
	if _, _, errno := m.k.rename("d", "e"); errno != 0 {
		t.Error(errno)
	}
	for _, key := range mem.Keys() {
		if !strings.HasPrefix(key, "e/") {
			t.Fatalf("%s is left", key)
		}
	}
	if after := len(mem.Keys()); after != before {
		t.Errorf("there were %d objects, and are %d", before, after)
	}
	if err := m.end(); err != nil {
		t.Error(err)
	}
}

// A rename that fails takes back what it has copied, and nothing that somebody else
// has put in its place.
func TestFailedRenameOfADirectoryTakesItsCopiesBack(t *testing.T) {
	for name, server := range map[string]func(s3.Bucket, *s3test.Mem) s3.Bucket{
		"as Amazon":         func(b s3.Bucket, _ *s3test.Mem) s3.Bucket { return b },
		"with directories":  func(b s3.Bucket, mem *s3test.Mem) s3.Bucket { return withDirectories{b, mem} },
		"compares no ETags": func(b s3.Bucket, _ *s3test.Mem) s3.Bucket { return comparesNoETags{b} },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { failToRename(t, server) })
		})
	}
}

// comparesNoETags is a bucket that does so in a bulk delete.
type comparesNoETags struct{ s3.Bucket }

func (b comparesNoETags) Delete(ctx context.Context, targets ...s3.Target) error {
	targets = slices.Clone(targets)
	for i := range targets {
		if targets[i].Weak {
			targets[i].ETag = ""
		}
	}
	return b.Bucket.Delete(ctx, targets...)
}

func failToRename(t *testing.T, server func(s3.Bucket, *s3test.Mem) s3.Bucket) {
	mem := simBucket()
	for _, key := range []string{"d/", "d/a", "d/b/", "d/b/c", "d/b/d", "d/z"} {
		var content []byte
		if !strings.HasSuffix(key, "/") {
			content = []byte("ours")
		}
		mem.PutBytes(key, content)
	}
	m := newSimMount(t, mem, privateDir(t), simConfig{Config: Config{TTL: time.Minute, NegativeTTL: time.Minute}})
	m.fs.bucket = server(m.fs.bucket, mem)
	want := []string{"e/a"}
	if _, ok := m.fs.bucket.(withDirectories); ok {
		want = []string{"e/", "e/a"} // something is in it
	}
	m.faulty.SetPlan(s3test.Plan{Rules: []s3test.Rule{{Op: s3.OpCopy, Key: "e/z", Fault: s3test.Fault{Do: s3test.Fail, Kind: s3.ErrDenied, Delay: time.Minute}}}})
	go func() {
		time.Sleep(30 * time.Second)
		mem.PutBytes("e/a", []byte("theirs"))
	}()
	if _, _, errno := m.k.rename("d", "e"); errno == 0 {
		t.Error("the rename succeeded")
	}
	var left []string
	for _, key := range mem.Keys() {
		if strings.HasPrefix(key, "e/") {
			left = append(left, key)
		}
	}
	if got, _ := mem.Bytes("e/a"); string(got) != "theirs" || !slices.Equal(left, want) {
		t.Errorf("%q is left, and e/a is %q", left, got)
	}
	if err := m.end(); err != nil {
		t.Error(err)
	}
}

// TestFilesAreClosedWhileTheirDirectoryIsLookedThrough opens and closes files all
// the while that a rename of their directory looks for unsaved ones.
func TestFilesAreClosedWhileTheirDirectoryIsLookedThrough(t *testing.T) {
	m := newSimMount(t, simBucket(), privateDir(t), simConfig{})
	var nodes []*node
	for i := range 200 {
		name := fmt.Sprint(i)
		nodes = append(nodes, m.fs.tree.add(m.fs.tree.root, name, entry{kind: kindFile, part: name}))
	}
	var closing sync.WaitGroup
	var closed atomic.Bool
	closing.Go(func() {
		defer closed.Store(true)
		for range 100 {
			var open []*file
			for _, n := range nodes {
				open = append(open, m.fs.acquire(n))
			}
			for _, fl := range open {
				fl.drop()
			}
		}
	})
	for rename := (&move{fs: m.fs, n: m.fs.tree.root}); !closed.Load(); {
		if rename.unsavedBelow() {
			t.Error("a file that nobody has written to is unsaved")
		}
	}
	closing.Wait()
	for _, n := range nodes {
		m.fs.tree.forget(n.id, 1)
	}
	if err := m.end(); err != nil {
		t.Error(err)
	}
}
