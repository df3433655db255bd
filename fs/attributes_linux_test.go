package fs

import (
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cgs3fs/cgs3fs/s3"
)

// metadata is an object's user metadata as it is in the bucket.
func (r *rig) metadata(key string) map[string]string {
	r.Helper()
	info, err := r.mem.Head(r.T.Context(), key)
	r.must(err)
	return info.Metadata
}

func TestAttributesThatWaitSurviveForget(t *testing.T) {
	r := mounted(t, Config{})
	r.write("f", "content")
	r.must(os.Chmod(r.path("f"), 0o600))
	n := r.fs.tree.child(r.fs.tree.root, "f")
	r.fs.tree.forget(n.id, n.lookups)
	if r.fs.tree.child(r.fs.tree.root, "f") != n {
		t.Error("the node whose mode is not in the bucket yet was forgotten")
	}
	r.must(r.fs.Sync(t.Context()))
	if got := r.metadata("f")["mode"]; got != "33152" {
		t.Errorf("mode %q in the bucket", got)
	}
	// The file's release may be on its way.
	waitFor(t, func() bool { return r.fs.tree.child(r.fs.tree.root, "f") == nil })
}

func TestAttributesAreNotWrittenOnSomebodyElsesVersion(t *testing.T) {
	r := mounted(t, Config{TTL: time.Millisecond, NegativeTTL: time.Millisecond})
	r.write("f", "mine")
	r.must(os.Chmod(r.path("f"), 0o600))
	r.must(unix.Setxattr(r.path("f"), "user.colour", []byte("red"), 0))
	r.mem.PutBytes("f", []byte("theirs"))
	r.must(r.fs.Sync(t.Context()))
	r.object("f", "theirs")
	if got := r.metadata("f"); got["mode"] != "" || got["colour"] != "" {
		t.Errorf("their object has my metadata %q", got)
	}
	st, err := os.Stat(r.path("f"))
	r.must(err)
	if st.Mode().Perm() == 0o600 {
		t.Error("their object is shown with my mode")
	}
	if n, err := unix.Getxattr(r.path("f"), "user.colour", make([]byte, 100)); err == nil {
		t.Errorf("their object is shown with my xattr, of %d bytes", n)
	}
}

func TestAttributesAreTriedAgain(t *testing.T) {
	r := mounted(t, Config{})
	r.write("f", "content")
	r.failing(s3.OpHead, 1)
	r.must(os.Chmod(r.path("f"), 0o600))
	if err := r.fs.Sync(t.Context()); err == nil {
		t.Error("a sync that could not write the attributes succeeded")
	}
	if left := r.fs.Status().Unsaved; len(left) != 1 || left[0].Path != "/f" || left[0].Why == "" {
		t.Errorf("status names %+v", left)
	}
	r.must(r.fs.Sync(t.Context()))
	if got := r.metadata("f")["mode"]; got != "33152" {
		t.Errorf("mode %q in the bucket", got)
	}
}

func TestReplacedFileKeepsItsAttributes(t *testing.T) {
	r := mounted(t, Config{Posix: true})
	r.write("f", "old")
	r.must(os.Chmod(r.path("f"), 0o600))
	r.must(unix.Setxattr(r.path("f"), "user.colour", []byte("red"), 0))
	r.must(r.fs.Sync(t.Context()))
	r.unmount()

	again := mountOver(t, r.mem, Config{Posix: true})
	f, err := os.OpenFile(again.path("f"), os.O_WRONLY|os.O_TRUNC, 0)
	again.must(err)
	_, err = f.WriteString("new")
	again.must(err)
	again.must(f.Close())
	again.object("f", "new")
	if got := again.metadata("f"); got["mode"] != "33152" || got["colour"] != "red" {
		t.Errorf("metadata %q", got)
	}
}
