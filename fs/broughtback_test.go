package fs

import (
	"context"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// Somebody else brings back the content that this mount has replaced: an object
// with the ETag that it had, and yet not this mount's. What it did to the file
// does not show there, and what it does to it from then on is not lost.
func TestVersionThatSomebodyBroughtBack(t *testing.T) {
	synctest.Test(t, bringBack)
}

func bringBack(t *testing.T) {
	mem := simBucket()
	m := newSimMount(t, mem, privateDir(t), simConfig{Config: Config{TTL: time.Minute, NegativeTTL: time.Minute}})
	for _, content := range []string{"old", "new"} {
		f, errno := m.k.open("a", syscall.O_WRONLY|syscall.O_CREAT|syscall.O_TRUNC)
		if errno != 0 {
			t.Fatal(errno)
		}
		if errno := f.write(content, 0); errno != 0 {
			t.Fatal(errno)
		}
		if errno := f.close(); errno != 0 {
			t.Fatal(errno)
		}
		synctest.Wait()
	}
	ours, errno := m.k.stat("a")
	if errno != 0 {
		t.Fatal(errno)
	}
	time.Sleep(2 * time.Minute)
	mem.PutBytes("a", []byte("old"))
	theirs, errno := m.k.stat("a")
	if errno != 0 || theirs.Mtime == ours.Mtime {
		t.Errorf("%v; the time shown is that of what was replaced", errno)
	}
	_, errno = m.k.setattr("a", func(in *fuse.SetAttrIn) { in.Valid, in.Mode = fuse.FATTR_MODE, 0o600 })
	if errno != 0 {
		t.Fatal(errno)
	}
	if err := m.fs.Sync(context.Background()); err != nil {
		t.Error(err)
	}
	if info, err := mem.Head(context.Background(), "a"); err != nil || info.Metadata[metaMode] == "" {
		t.Errorf("the mode was not written: %v, %v", info.Metadata, err)
	}
	if err := m.end(); err != nil {
		t.Error(err)
	}
}
