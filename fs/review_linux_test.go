package fs

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/cgs3fs/cgs3fs/s3"
	"github.com/cgs3fs/cgs3fs/s3/s3test"
	"github.com/cgs3fs/cgs3fs/transfer"
)

// in time fails the test, rather than hanging it, when run does not return.
func (r *rig) inTime(what string, run func()) {
	r.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		run()
	}()
	select {
	case <-done:
	case <-time.After(time.Minute):
		r.Fatalf("%s hangs", what)
	}
}

func (r *rig) failing(op string, times int) {
	r.faulty.SetPlan(s3test.Plan{Rules: []s3test.Rule{{Op: op, Times: times, Fault: s3test.Fault{Do: s3test.Fail}}}})
}

func (r *rig) open(name string, flags int) *os.File {
	r.Helper()
	f, err := os.OpenFile(r.path(name), flags, 0o644)
	r.must(err)
	return f
}

func TestStatusIsToldWhileFilesAreMade(t *testing.T) {
	r := mounted(t, Config{})
	var g sync.WaitGroup
	r.inTime("telling what is unsaved", func() {
		stop := make(chan struct{})
		for range 2 {
			g.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
						r.fs.unsaved.list()
					}
				}
			})
		}
		for i := range 2000 {
			n := r.fs.tree.add(r.fs.tree.root, fmt.Sprint(i), entry{kind: kindFile, part: fmt.Sprint(i)})
			fl := r.fs.acquire(n)
			fl.begin(writeWhole, false)
			fl.abandon(t.Context())
			fl.drop()
			r.fs.tree.forget(n.id, 1)
		}
		close(stop)
		g.Wait()
	})
}

func TestFileThatCouldNotBeUnlinkedIsStillSaved(t *testing.T) {
	r := mounted(t, Config{})
	r.write("f", "old")
	f := r.open("f", os.O_RDWR)
	r.failing(s3.OpDelete, 1)
	r.want(os.Remove(r.path("f")), syscall.EIO)
	_, err := f.WriteAt([]byte("new"), 0)
	r.must(err)
	r.must(f.Close())
	r.object("f", "new")
}

func TestFileThatCouldNotBeReplacedIsStillSaved(t *testing.T) {
	r := mounted(t, Config{})
	r.write("f", "old")
	r.write("g", "other")
	f := r.open("f", os.O_RDWR)
	_, err := f.WriteAt([]byte("n"), 0)
	r.must(err)
	r.failing(s3.OpCopy, 1)
	r.want(os.Rename(r.path("g"), r.path("f")), syscall.EIO)
	r.must(f.Close())
	r.object("f", "nld")
}

func TestConflictWhileOthersReadAndWriteDoesNotHang(t *testing.T) {
	r := mounted(t, Config{})
	for round := range 20 {
		name := fmt.Sprint("f", round)
		r.write(name, strings.Repeat("x", 1<<20))
		a, b := r.open(name, os.O_RDWR), r.open(name, os.O_RDWR)
		_, err := a.WriteAt([]byte("mine"), 0)
		r.must(err)
		r.mem.PutBytes(name, []byte("theirs"))
		var g sync.WaitGroup
		r.inTime("a conflict", func() {
			stop := make(chan struct{})
			for i := range 4 {
				g.Go(func() {
					buf := make([]byte, 128<<10)
					for j := int64(i); ; j++ {
						select {
						case <-stop:
							return
						default:
							off := j % 7 * 128 << 10
							if i < 2 {
								_, _ = b.WriteAt(buf, off)
							} else {
								_, _ = b.ReadAt(buf, off)
							}
						}
					}
				})
			}
			r.want(a.Sync(), syscall.ESTALE)
			close(stop)
			g.Wait()
		})
		a.Close()
		b.Close()
	}
}

func TestEditedFileKeepsItsContentAfterUnlink(t *testing.T) {
	r := mounted(t, Config{})
	data := strings.Repeat("0123456789abcdef", 1<<20)
	r.write("f", data)
	f := r.open("f", os.O_RDWR)
	defer f.Close()
	_, err := f.WriteAt([]byte("X"), 0)
	r.must(err)
	r.must(os.Remove(r.path("f")))
	buf := make([]byte, 16)
	_, err = f.ReadAt(buf, 12<<20)
	r.must(err)
	if string(buf) != "0123456789abcdef" {
		t.Errorf("read %q", buf)
	}
}

// nodes makes directories a, a/b, a/b/c and so on, and a file in the last.
func nodes(t *tree, names ...string) (out []*node) {
	n := t.root
	for i, name := range names {
		e := entry{kind: kindDir, part: name + "/"}
		if i == len(names)-1 {
			e = entry{kind: kindFile, part: name}
		}
		n = t.add(n, name, e)
		out = append(out, n)
	}
	return out
}

func TestRenamesInsideEachOtherEnd(t *testing.T) {
	tr := newTree("")
	all := nodes(tr, "a", "b", "c", "f")
	a, b := all[0], all[1]
	parent, err := tr.pin(t.Context(), a) // a rename of a/b has pinned a …
	if err != nil {
		t.Fatal(err)
	}
	outer := make(chan error, 1)
	go func() { outer <- tr.beginMove(t.Context(), a) }() // … when one of a begins
	waitFor(t, func() bool {
		tr.mu.Lock()
		defer tr.mu.Unlock()
		return a.moving
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := tr.beginMove(ctx, b); err != nil {
		t.Fatalf("the inner rename waits for the outer one: %v", err)
	}
	tr.endMove(b)
	parent.release()
	if err := <-outer; err != nil {
		t.Fatal(err)
	}
	tr.endMove(a)
}

func waitFor(t *testing.T, is func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("what the test waits for does not happen")
		}
	}
}

func TestUnlinkAndSaveDuringADirectoryRenameEnd(t *testing.T) {
	r := mounted(t, Config{})
	r.must(os.Mkdir(r.path("d"), 0o755))
	f := r.open("d/f", os.O_CREATE|os.O_WRONLY)
	_, err := f.WriteString("x")
	r.must(err)
	d := r.fs.tree.child(r.fs.tree.root, "d")
	n := r.fs.tree.child(d, "f")
	r.must(n.file.op.lock(t.Context())) // a save of the file is about to pin it
	removed := make(chan error, 1)
	go func() { removed <- os.Remove(r.path("d/f")) }()
	time.Sleep(50 * time.Millisecond) // until it waits for the save
	moving := make(chan error, 1)
	go func() { moving <- r.fs.tree.beginMove(t.Context(), d) }()
	r.inTime("a rename, an unlink and a save", func() {
		select {
		case err := <-moving:
			r.must(err)
			r.fs.tree.endMove(d)
		case <-time.After(20 * time.Second):
			t.Error("the rename waits for the unlink, and so would the save for the rename")
			n.file.op.unlock()
			r.must(<-moving)
			r.fs.tree.endMove(d)
			r.must(<-removed)
			return
		}
		n.file.op.unlock()
		r.must(<-removed)
	})
	r.must(f.Close())
}

func TestCloseOfAFileThatSomebodyElseWritesTooSaves(t *testing.T) {
	r := mounted(t, Config{})
	f := r.open("log", os.O_CREATE|os.O_WRONLY|os.O_APPEND)
	defer f.Close()
	_, err := f.WriteString("a")
	r.must(err)
	out, err := exec.Command("sh", "-c", "echo b >> "+r.path("log")).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	r.object("log", "ab\n")
}

func TestUnsavedFilesAreKeptWhenTheServerHangsAtUnmount(t *testing.T) {
	r := mounted(t, Config{RecoveryDir: t.TempDir()})
	f := r.open("f", os.O_CREATE|os.O_RDWR)
	_, err := f.WriteString("precious")
	r.must(err)
	r.fs.patience = 50 * time.Millisecond
	r.faulty.SetPlan(s3test.Plan{Rules: []s3test.Rule{{Op: s3.OpPut, Fault: s3test.Fault{Do: s3test.Hang}}}})
	saved := make(chan error, 1)
	go func() { saved <- f.Sync() }()
	waitFor(t, func() bool { return r.faulty.Calls()[s3.OpPut] > 0 })
	r.inTime("the end of the mount", r.m.End) // as after a signal, while programs have files open
	if err := <-saved; err == nil {
		t.Error("fsync says that the file is saved")
	}
	kept, err := os.ReadDir(r.fs.cfg.RecoveryDir)
	r.must(err)
	if len(kept) != 2 {
		t.Errorf("in the recovery directory is %v", kept)
	}
	r.faulty.SetPlan(s3test.Plan{})
	_ = f.Close()
}

func TestAnswerFromBeforeAnOwnSaveKeepsTheOpenFile(t *testing.T) {
	mem := s3test.NewMem(s3test.MemConfig{})
	mem.PutBytes("f", []byte("one"))
	hold := &heldBucket{Bucket: mem, on: make(chan struct{}), asked: make(chan struct{})}
	xfer, err := transfer.New(mem, nil, transfer.Config{StageDir: t.TempDir()})
	r := &rig{T: t, mem: mem}
	r.must(err)
	r.fs, err = New(hold, xfer, Config{}) // without a TTL each lookup asks
	r.must(err)
	n, _, _, err := r.fs.resolve(t.Context(), r.fs.tree.root, "f")
	r.must(err)
	h, _, err := r.fs.open(t.Context(), n, syscall.O_RDWR, 0)
	r.must(err)
	hold.held.Store(true)
	looked := make(chan error, 1)
	go func() {
		_, _, _, err := r.fs.resolve(t.Context(), r.fs.tree.root, "f")
		looked <- err
	}()
	<-hold.asked // it has been told of the first version
	r.must(h.writeAt(t.Context(), []byte("two"), 0))
	r.must(h.commit(t.Context()))
	close(hold.on)
	r.must(<-looked)
	r.must(h.writeAt(t.Context(), []byte("TWO"), 0))
	r.must(h.commit(t.Context()))
	r.object("f", "TWO")
	r.fs.Release(nil, &fuse.ReleaseIn{Fh: r.fs.handles.add(h)})
	r.fs.finish()
	r.must(xfer.Close())
}

// heldBucket keeps the answers of listings back while it is told to.
type heldBucket struct {
	s3.Bucket
	held      atomic.Bool
	on, asked chan struct{}
	once      sync.Once
}

func (h *heldBucket) ListPage(ctx context.Context, in s3.ListInput) (s3.Page, error) {
	p, err := h.Bucket.ListPage(ctx, in)
	if h.held.Load() {
		h.once.Do(func() { close(h.asked) })
		<-h.on
	}
	return p, err
}

func TestNamesOfAnOldListingAreNotToldAsTheyWere(t *testing.T) {
	r := mounted(t, Config{})
	r.write("a", "one")
	r.write("b", "one")
	r.read("a")
	listing, _, _ := r.fs.names.Dir("")
	if len(listing) == 0 {
		_ = r.names("")
		listing, _, _ = r.fs.names.Dir("")
	}
	r.write("a", "three")
	r.must(os.Remove(r.path("b")))
	for _, old := range listing {
		e, ok := r.fs.still(r.fs.tree.root, old.Name, old.Entry)
		if old.Name == "a" && ok && e.size != 5 { // not ok while its release is on the way: then a lookup tells
			t.Errorf("a is %d bytes", e.size)
		}
		if old.Name == "b" && ok {
			t.Error("b is told of though it was removed")
		}
	}
}

func TestOpenFileHasTheModeOfItsMetadata(t *testing.T) {
	r := mounted(t, Config{Posix: true})
	when := time.Unix(1234567890, 0)
	_, err := r.mem.Put(t.Context(), "f", strings.NewReader("x"), s3.PutOptions{Attributes: s3.Attributes{Metadata: map[string]string{"mode": "33152", "mtime": "1234567890"}}})
	r.must(err)
	f := r.open("f", os.O_RDWR)
	defer f.Close()
	r.fs.invalidate(r.fs.tree.child(r.fs.tree.root, "f"), -1)
	st, err := f.Stat()
	r.must(err)
	if st.Mode().Perm() != 0o600 || !st.ModTime().Equal(when) {
		t.Errorf("while open: %v %v", st.Mode(), st.ModTime())
	}
}

func TestOthersWritesAndChownTakeSetuidAway(t *testing.T) {
	r := mounted(t, Config{})
	if os.Getuid() != 0 {
		t.Skip("needs root, to be somebody else")
	}
	mode := func() os.FileMode {
		st, err := os.Stat(r.path("f"))
		r.must(err)
		return st.Mode()
	}
	r.write("f", "#!/bin/true")
	r.must(os.Chmod(r.path("f"), 0o755|os.ModeSetuid|os.ModeSetgid))
	if mode()&os.ModeSetuid == 0 {
		t.Fatal("chmod did not set it")
	}
	r.must(os.Chown(r.path("f"), 1, 1))
	if got := mode(); got != 0o755 {
		t.Errorf("after chown: %v", got)
	}
	r.must(os.Chmod(r.path("f"), 0o755|os.ModeSetuid))
	f := r.open("f", os.O_RDWR)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	_, err := unix.SetfsuidRetUid(65534)
	r.must(err)
	_, err = syscall.Pwrite(int(f.Fd()), []byte("X"), 0)
	_, back := unix.SetfsuidRetUid(0)
	r.must(back)
	r.must(err)
	r.must(f.Close())
	if got := mode(); got != 0o755 {
		t.Errorf("after a write by somebody else: %v", got)
	}
	info, err := r.mem.Head(t.Context(), "f")
	r.must(err)
	if info.Metadata["mode"] != "33261" {
		t.Errorf("metadata %v", info.Metadata)
	}
}
