package fs

import (
	"context"
	"syscall"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/cgs3fs/cgs3fs/s3"
)

// truncate(2) is of a file that is there, although the kernel still believes in
// one that somebody else has removed.
func TestTruncateMakesNoFile(t *testing.T) {
	for _, posix := range []bool{false, true} {
		for _, open := range []bool{false, true} {
			mem := simBucket()
			mem.PutBytes("a", []byte("content"))
			m := newSimMount(t, mem, privateDir(t), simConfig{Config: Config{TTL: time.Minute, NegativeTTL: time.Minute, Posix: posix}})
			if _, errno := m.k.stat("a"); errno != 0 {
				t.Fatal(errno)
			}
			if open {
				f, errno := m.k.open("a", syscall.O_RDONLY)
				if errno != 0 {
					t.Fatal(errno)
				}
				defer f.close()
			}
			if err := mem.Delete(context.Background(), s3.Target{Key: "a"}); err != nil {
				t.Fatal(err)
			}
			if _, errno := m.k.truncate("a", 0); errno != syscall.ENOENT {
				t.Errorf("open %v, posix %v: %v", open, posix, errno)
			}
			if got, ok := mem.Bytes("a"); ok {
				t.Errorf("open %v, posix %v: there is an object of %q again", open, posix, got)
			}
		}
	}
}

// A file that has no name any more can be truncated by that of its descriptor,
// /proc/self/fd/3, and keeps what is left.
func TestTruncateOfARemovedFileKeepsTheRest(t *testing.T) {
	mem := simBucket()
	mem.PutBytes("a", []byte("content"))
	m := newSimMount(t, mem, privateDir(t), simConfig{Config: Config{TTL: time.Minute, NegativeTTL: time.Minute}})
	f, errno := m.k.open("a", syscall.O_RDONLY)
	if errno != 0 {
		t.Fatal(errno)
	}
	if _, errno := m.k.unlink("a"); errno != 0 {
		t.Fatal(errno)
	}
	in := fuse.SetAttrIn{}
	in.InHeader, in.Valid, in.Size = header(f.inode), fuse.FATTR_SIZE, 3
	var out fuse.AttrOut
	if st := m.fs.SetAttr(nil, &in, &out); !st.Ok() {
		t.Error(st)
	}
	if got, errno := f.read(0, 100); got != "con" {
		t.Errorf("read %q, %v", got, errno)
	}
	f.close()
	if err := m.end(); err != nil {
		t.Error(err)
	}
}
