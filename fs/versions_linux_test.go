package fs

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/cgs3fs/cgs3fs/s3"
	"github.com/cgs3fs/cgs3fs/s3/s3test"
)

// versioned is a mount without a kernel.
type versioned struct {
	*testing.T
	mem *s3test.Mem
	*simMount
}

// newVersioned mounts a bucket in which every write and every copy has an ETag
// of its own, as with SSE-KMS.
func newVersioned(t *testing.T, cfg Config) *versioned { return newVersionedOf(t, cfg, true) }

func newVersionedOf(t *testing.T, cfg Config, opaque bool) *versioned {
	t.Helper()
	v := &versioned{T: t, mem: s3test.NewMem(s3test.MemConfig{MinPartSize: 1, OpaqueETags: opaque})}
	if cfg.TTL == 0 {
		cfg.TTL, cfg.NegativeTTL = time.Minute, time.Minute
	}
	cfg.FileMode = 0o644
	cfg.attributesWait = cmp.Or(cfg.attributesWait, time.Hour) // they are written when a test asks for it
	v.simMount = newSimMount(t, v.mem, privateDir(t), simConfig{
		Config: cfg, attempts: 10,
		sleep: func(context.Context, time.Duration) error { return nil },
	})
	t.Cleanup(func() {
		if err := v.end(); err != nil {
			t.Error(err)
		}
	})
	return v
}

// ok stops the test unless a call succeeded.
func (v *versioned) ok(errno syscall.Errno) {
	v.Helper()
	if errno != 0 {
		v.Fatal(errno)
	}
}

func (v *versioned) open(path string, flags uint32) *simFile {
	v.Helper()
	f, errno := v.k.open(path, flags)
	v.ok(errno)
	return f
}

// save writes a file anew.
func (v *versioned) save(path, content string) {
	v.Helper()
	f := v.open(path, syscall.O_WRONLY|syscall.O_CREAT|syscall.O_TRUNC)
	v.ok(f.write(content, 0))
	v.ok(f.close())
}

// cat reads a file whole.
func (v *versioned) cat(path string) string {
	v.Helper()
	f := v.open(path, syscall.O_RDONLY)
	defer f.close()
	s, errno := f.read(0, 1000)
	v.ok(errno)
	return s
}

func (v *versioned) chmod(path string, mode uint32) {
	v.Helper()
	_, errno := v.k.setattr(path, func(in *fuse.SetAttrIn) { in.Valid, in.Mode = fuse.FATTR_MODE, mode })
	v.ok(errno)
}

func (v *versioned) setxattr(path, name, value string) {
	v.Helper()
	n, errno := v.k.find(path, false)
	v.ok(errno)
	defer v.k.put(n)
	v.ok(errnoOf(v.fs.SetXAttr(nil, &fuse.SetXAttrIn{InHeader: header(n)}, name, []byte(value))))
}

// written brings all that waits into the bucket.
func (v *versioned) written() {
	v.Helper()
	if err := v.fs.Sync(v.Context()); err != nil {
		v.Fatal(err)
	}
}

// has checks an object's metadata; "" stands for none.
func (v *versioned) has(key string, want map[string]string) {
	v.Helper()
	info, err := v.mem.Head(v.Context(), key)
	if err != nil {
		v.Fatalf("%s: %v", key, err)
	}
	for name, text := range want {
		if got := info.Metadata[name]; got != text {
			v.Errorf("%s has %s %q, want %q", key, name, got, text)
		}
	}
}

// shows checks the permissions that stat tells.
func (v *versioned) shows(path string, mode uint32) {
	v.Helper()
	a, errno := v.k.stat(path)
	v.ok(errno)
	if a.Mode&0o7777 != mode {
		v.Errorf("%s is shown with mode %o, want %o", path, a.Mode&0o7777, mode)
	}
}

const mode600 = "33152" // a regular file's, in decimal as s3fs writes it

// TestEditOfSomebodyElsesVersionKeepsItsAttributes edits a version that took the
// place of one whose attributes this mount had changed.
func TestEditOfSomebodyElsesVersionKeepsItsAttributes(t *testing.T) {
	for name, written := range map[string]bool{"written": true, "waiting": false} {
		t.Run(name, func(t *testing.T) {
			v := newVersioned(t, Config{TTL: time.Millisecond, NegativeTTL: time.Millisecond})
			v.save("a", "mine")
			v.chmod("a", 0o600)
			v.setxattr("a", "user.colour", "red")
			if written {
				v.written()
			}
			v.mem.PutBytes("a", []byte("theirs"))
			time.Sleep(2 * time.Millisecond)
			f := v.open("a", syscall.O_RDWR)
			v.ok(f.write("T", 0))
			v.shows("a", 0o644)
			v.ok(f.close())
			v.written()
			v.has("a", map[string]string{"mode": "", "colour": ""})
		})
	}
}

func TestReplacedVersionOfSomebodyElseKeepsItsAttributes(t *testing.T) {
	v := newVersioned(t, Config{TTL: time.Millisecond, NegativeTTL: time.Millisecond, Posix: true})
	v.save("a", "mine")
	v.chmod("a", 0o600)
	v.setxattr("a", "user.colour", "red")
	v.written()
	v.put("a", "theirs", map[string]string{"mode": "33188", "shape": "round"})
	time.Sleep(2 * time.Millisecond)
	v.save("a", "mine again")
	v.has("a", map[string]string{"mode": "33188", "colour": "", "shape": "round"})
}

// put is somebody else's write.
func (v *versioned) put(key, content string, metadata map[string]string) {
	v.Helper()
	_, err := v.mem.Put(v.Context(), key, strings.NewReader(content), s3.PutOptions{Attributes: s3.Attributes{ContentType: "text/x-theirs", Metadata: metadata}})
	if err != nil {
		v.Fatal(err)
	}
}

// TestEditKeepsAttributesThatNobodyAskedFor edits a file whose cached pages were
// still right when it was opened, so that no answer has told its metadata.
func TestEditKeepsAttributesThatNobodyAskedFor(t *testing.T) {
	v := newVersioned(t, Config{})
	v.put("a", "theirs", map[string]string{"shape": "round"})
	v.cat("a")
	f := v.open("a", syscall.O_RDWR)
	v.ok(f.write("T", 0))
	v.ok(f.close())
	v.has("a", map[string]string{"shape": "round"})
	if info, _ := v.mem.Head(t.Context(), "a"); info.ContentType != "text/x-theirs" {
		t.Errorf("content type %q", info.ContentType)
	}
}

// TestAttributesMoveWithTheirDirectory renames a directory while attributes of a
// file in it wait, or soon after they were written.
func TestAttributesMoveWithTheirDirectory(t *testing.T) {
	tests := map[string]struct{ open, written bool }{
		"waiting":       {false, false},
		"waiting, open": {true, false},
		"written":       {false, true},
		"written, open": {true, true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			v := newVersioned(t, Config{})
			v.ok(v.k.mkdir("d"))
			v.save("d/a", "content")
			if test.open {
				f := v.open("d/a", syscall.O_RDONLY)
				defer f.close()
			}
			v.chmod("d/a", 0o600)
			v.setxattr("d/a", "user.colour", "red")
			if test.written {
				v.written()
			}
			_, _, errno := v.k.rename("d", "f")
			v.ok(errno)
			v.shows("f/a", 0o600)
			v.written()
			v.has("f/a", map[string]string{"mode": mode600, "colour": "red"})
			v.shows("f/a", 0o600)
		})
	}
}

// TestPublishedFileIsThere reads a new file back whose parts have left, which
// makes it an object before it is closed.
func TestPublishedFileIsThere(t *testing.T) {
	v := newVersioned(t, Config{})
	if _, errno := v.k.list(""); errno != 0 { // so that it is known not to be there
		t.Fatal(errno)
	}
	f := v.open("a", syscall.O_RDWR|syscall.O_CREAT|syscall.O_EXCL)
	for i := range 40 {
		v.ok(f.write(strings.Repeat("x", simPart), i*simPart))
	}
	waitFor(t, func() bool {
		_, errno := f.read(2*simPart, 10)
		v.ok(errno)
		_, err := v.mem.Head(t.Context(), "a")
		return err == nil
	})
	v.k.dropCaches()
	v.shows("a", 0o644)
	v.chmod("a", 0o600)
	v.ok(f.close())
	v.k.dropCaches()
	v.shows("a", 0o600)
	v.written()
	v.has("a", map[string]string{"mode": mode600})
	v.shows("a", 0o600)
}

// TestAttributesStayWhenARenameFails has the delete fail that follows the copy.
func TestAttributesStayWhenARenameFails(t *testing.T) {
	v := newVersioned(t, Config{})
	v.save("a", "content")
	v.chmod("a", 0o600)
	v.faulty.SetPlan(s3test.Plan{Rules: []s3test.Rule{{Op: s3.OpDelete, Fault: s3test.Fault{Do: s3test.Fail, Kind: s3.ErrDenied}}}})
	if _, _, errno := v.k.rename("a", "b"); errno == 0 {
		t.Fatal("the rename succeeded")
	}
	v.faulty.SetPlan(s3test.Plan{})
	v.written()
	v.has("a", map[string]string{"mode": mode600})
	v.shows("a", 0o600)
}

func TestEmptyingAFileChangesItsTime(t *testing.T) {
	v := newVersioned(t, Config{})
	v.save("a", "content")
	before, errno := v.k.stat("a")
	v.ok(errno)
	time.Sleep(20 * time.Millisecond)
	v.ok(v.open("a", syscall.O_WRONLY|syscall.O_TRUNC).close())
	after, errno := v.k.stat("a")
	v.ok(errno)
	if after.Mtime == before.Mtime && after.Mtimensec == before.Mtimensec {
		t.Errorf("mtime is still %d.%09d", after.Mtime, after.Mtimensec)
	}
}

// slowHead keeps the answers of Heads back while it is told to.
type slowHead struct {
	s3.Bucket
	held  atomic.Bool
	asked chan struct{}
	on    chan struct{}
}

func (b *slowHead) Head(ctx context.Context, key string) (s3.Info, error) {
	info, err := b.Bucket.Head(ctx, key)
	if b.held.CompareAndSwap(true, false) {
		close(b.asked)
		<-b.on
	}
	return info, err
}

// TestAttributesSetWhileTheFileIsSaved saves a file between the question which
// version a program sees and the change of its attributes.
func TestAttributesSetWhileTheFileIsSaved(t *testing.T) {
	v := newVersioned(t, Config{})
	v.save("a", "content")
	slow := &slowHead{Bucket: v.fs.bucket, asked: make(chan struct{}), on: make(chan struct{})}
	v.fs.bucket = slow
	slow.held.Store(true)
	set := make(chan struct{})
	go func() {
		defer close(set)
		v.setxattr("a", "user.colour", "red")
	}()
	<-slow.asked
	v.save("a", "more content")
	close(slow.on)
	<-set
	v.written()
	v.has("a", map[string]string{"colour": "red"})
}

// slowCopy keeps the answer of the next copy back.
type slowCopy struct {
	s3.Bucket
	done chan struct{}
	on   chan struct{}
}

func (b *slowCopy) Copy(ctx context.Context, src s3.Source, dst string, o s3.CopyOptions) (s3.Info, error) {
	info, err := b.Bucket.Copy(ctx, src, dst, o)
	close(b.done)
	<-b.on
	return info, err
}

// TestOwnAttributesAreNotSomebodyElsesVersion looks at an open file when its
// attributes are in the bucket, under a new ETag, and the mount does not know it yet.
func TestOwnAttributesAreNotSomebodyElsesVersion(t *testing.T) {
	v := newVersioned(t, Config{TTL: time.Microsecond, NegativeTTL: time.Microsecond})
	v.save("a", "content")
	slow := &slowCopy{Bucket: v.fs.bucket, done: make(chan struct{}), on: make(chan struct{})}
	v.fs.bucket = slow
	f := v.open("a", syscall.O_RDONLY)
	v.chmod("a", 0o600)
	synced := make(chan error, 1)
	go func() { synced <- v.fs.Sync(context.Background()) }()
	<-slow.done
	for range 2 {
		n, errno := v.k.find("a", true)
		v.ok(errno)
		if n.id != f.inode.id {
			t.Error("the name leads to another inode")
		}
		v.k.put(n)
		if a, errno := v.k.stat("a"); errno != 0 || a.Mode&0o777 != 0o600 {
			t.Errorf("mode %o, %v", a.Mode, errno)
		}
	}
	v.setxattr("a", "user.colour", "red")
	close(slow.on)
	if err := <-synced; err != nil {
		t.Error(err)
	}
	slow.done, slow.on = make(chan struct{}), make(chan struct{})
	close(slow.on)
	if got, errno := f.read(0, 100); got != "content" {
		t.Errorf("the open file reads %q, %v", got, errno)
	}
	v.ok(f.close())
	v.written()
	v.has("a", map[string]string{"mode": mode600, "colour": "red"})
}

// TestSyncWaitsForAttributesThatAreBeingWritten syncs while they are written without
// having been asked for.
func TestSyncWaitsForAttributesThatAreBeingWritten(t *testing.T) {
	v := newVersioned(t, Config{attributesWait: time.Millisecond})
	v.save("a", "content")
	slow := &slowHead{Bucket: v.fs.bucket, asked: make(chan struct{}), on: make(chan struct{})}
	v.fs.bucket = slow
	slow.held.Store(true)
	v.chmod("a", 0o600)
	<-slow.asked
	synced := make(chan error, 1)
	go func() { synced <- v.fs.Sync(context.Background()) }()
	select {
	case err := <-synced:
		t.Errorf("sync has not waited: %v", err)
		synced <- nil
	case <-time.After(50 * time.Millisecond):
	}
	close(slow.on)
	if err := <-synced; err != nil {
		t.Error(err)
	}
	v.has("a", map[string]string{"mode": mode600})
}

// TestLinkIsRenamedWhileItsAttributesAreWritten has these written between the copy
// and the delete of a rename.
func TestLinkIsRenamedWhileItsAttributesAreWritten(t *testing.T) {
	v := newVersioned(t, Config{})
	h := fuse.InHeader{NodeId: rootIno}
	var out fuse.EntryOut
	v.ok(errnoOf(v.fs.Symlink(nil, &h, "target", "l", &out)))
	in := fuse.SetAttrIn{}
	in.NodeId, in.Valid, in.Mtime = out.NodeId, fuse.FATTR_MTIME, 1_000_000
	v.ok(errnoOf(v.fs.SetAttr(nil, &in, &fuse.AttrOut{})))
	synced := make(chan error, 1)
	v.fs.bucket = &meddled{Bucket: v.fs.bucket, key: "l" + linkSuffix, after: func() {
		go func() { synced <- v.fs.Sync(context.Background()) }()
		time.Sleep(20 * time.Millisecond)
	}}
	v.ok(errnoOf(v.fs.Rename(nil, &fuse.RenameIn{InHeader: h, Newdir: rootIno}, "l", "m")))
	if err := <-synced; err != nil {
		t.Error(err)
	}
	if _, err := v.mem.Head(t.Context(), "l"+linkSuffix); !errors.Is(err, s3.ErrNotFound) {
		t.Errorf("the old name is still there: %v", err)
	}
	v.has("m"+linkSuffix, map[string]string{"mtime": "1000000"})
}

// TestReopenedFileHasTheModeOfItsMetadata opens a file again whose cached pages are
// still right, on a mount that reads metadata back.
func TestReopenedFileHasTheModeOfItsMetadata(t *testing.T) {
	v := newVersioned(t, Config{Posix: true})
	v.put("a", "theirs", map[string]string{"mode": mode600})
	v.cat("a")
	f := v.open("a", syscall.O_RDONLY)
	v.shows("a", 0o600)
	v.ok(f.close())
}
