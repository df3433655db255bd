package fs

import (
	"context"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/cgs3fs/cgs3fs/s3"
	"github.com/cgs3fs/cgs3fs/s3/s3test"
)

// A directory lasts while a file in it waits to be saved, although somebody else
// removed everything from it that the bucket had.
func TestDirectoryLastsWhileAFileInItIsUnsaved(t *testing.T) {
	mem := simBucket()
	mem.PutBytes("d/e/theirs", []byte("x"))
	m := newSimMount(t, mem, privateDir(t), simConfig{Config: Config{TTL: 30 * time.Millisecond, NegativeTTL: 30 * time.Millisecond}})
	f, errno := m.k.open("d/e/ours", syscall.O_WRONLY|syscall.O_CREAT|syscall.O_EXCL)
	if errno != 0 {
		t.Fatal(errno)
	}
	if errno := f.write("y", 0); errno != 0 {
		t.Fatal(errno)
	}
	if err := mem.Delete(context.Background(), s3.Target{Key: "d/e/theirs"}); err != nil {
		t.Fatal(err)
	}
	time.Sleep(50 * time.Millisecond) // and all is asked again
	for path, name := range map[string]string{"": "d", "d": "e", "d/e": "ours"} {
		if names, errno := m.k.list(path); errno != 0 || len(names) != 1 || names[name] == 0 {
			t.Errorf("in %q there is %v, %v, not only %s", path, names, errno, name)
		}
	}
	if _, errno := m.k.stat("d/e"); errno != 0 {
		t.Errorf("the directory: %v", errno)
	}
	if errno := m.k.mkdir("d"); errno != syscall.EEXIST {
		t.Errorf("making it again: %v", errno)
	}
	if errno := m.k.rmdir("d"); errno != syscall.ENOTEMPTY {
		t.Errorf("removing it: %v", errno)
	}
	if errno := f.close(); errno != 0 {
		t.Error(errno)
	}
	if got, _ := mem.Bytes("d/e/ours"); string(got) != "y" {
		t.Errorf("the object is %q", got)
	}
	if _, errno := m.k.stat("d/e"); errno != 0 {
		t.Errorf("the directory after the save: %v", errno)
	}
	if _, errno := m.k.unlink("d/e/ours"); errno != 0 {
		t.Error(errno)
	}
	if names, errno := m.k.list("d/e"); errno != 0 || len(names) != 0 {
		t.Errorf("the directory after its last file: %v, %v", names, errno)
	}
	if err := m.end(); err != nil {
		t.Error(err)
	}
}

// A program makes something in a directory that somebody else has emptied, and sees
// it there at once.
func TestWhatIsMadeInAnEmptiedDirectoryIsThere(t *testing.T) {
	for what, make := range map[string]func(*simMount, fuse.InHeader) fuse.Status{
		"mkdir": func(m *simMount, d fuse.InHeader) fuse.Status {
			return m.fs.Mkdir(nil, &fuse.MkdirIn{InHeader: d}, "new", &fuse.EntryOut{})
		},
		"symlink": func(m *simMount, d fuse.InHeader) fuse.Status {
			return m.fs.Symlink(nil, &d, "target", "new", &fuse.EntryOut{})
		},
		"rename": func(m *simMount, d fuse.InHeader) fuse.Status {
			return m.fs.Rename(nil, &fuse.RenameIn{InHeader: fuse.InHeader{NodeId: rootIno}, Newdir: d.NodeId}, "file", "new")
		},
		"rename of a directory": func(m *simMount, d fuse.InHeader) fuse.Status {
			return m.fs.Rename(nil, &fuse.RenameIn{InHeader: fuse.InHeader{NodeId: rootIno}, Newdir: d.NodeId}, "directory", "new")
		},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { makeInEmptied(t, make) })
		})
	}
}

func makeInEmptied(t *testing.T, make func(*simMount, fuse.InHeader) fuse.Status) {
	mem := simBucket()
	for _, key := range []string{"d/e/theirs", "directory/file", "file"} {
		mem.PutBytes(key, []byte("x"))
	}
	m := newSimMount(t, mem, privateDir(t), simConfig{Config: Config{TTL: time.Minute, NegativeTTL: time.Minute}})
	e, errno := m.k.find("d/e", false) // the program is in it
	if errno != 0 {
		t.Fatal(errno)
	}
	if err := mem.Delete(context.Background(), s3.Target{Key: "d/e/theirs"}); err != nil {
		t.Fatal(err)
	}
	time.Sleep(2 * time.Minute)
	if names, errno := m.k.list(""); errno != 0 || names["d"] != 0 {
		t.Fatalf("there is %v, %v", names, errno)
	}
	if st := make(m, header(e)); !st.Ok() {
		t.Fatal(st)
	}
	if _, errno := m.k.find("d/e/new", true); errno != 0 {
		t.Errorf("it is not there: %v", errno)
	}
}

// One file of a directory can't be saved when the directory is renamed, for
// somebody else has changed it. That is not the fault of the others.
func TestConflictIsOfOneFileOnly(t *testing.T) {
	mem := simBucket()
	mem.PutBytes("d/theirs", []byte("x"))
	m := newSimMount(t, mem, privateDir(t), simConfig{Config: Config{TTL: time.Minute, NegativeTTL: time.Minute}})
	open := func(name string, flags uint32) *simFile {
		f, errno := m.k.open(name, flags)
		if errno != 0 {
			t.Fatal(errno)
		}
		if errno := f.write("ours", 0); errno != 0 {
			t.Fatal(errno)
		}
		return f
	}
	theirs, ours := open("d/theirs", syscall.O_RDWR), open("d/ours", syscall.O_WRONLY|syscall.O_CREAT)
	mem.PutBytes("d/theirs", []byte("changed"))
	m.faulty.SetPlan(s3test.Plan{Rules: []s3test.Rule{{Op: s3.OpPut, Key: "d/ours", Fault: s3test.Fault{Delay: 50 * time.Millisecond}}}})
	root := fuse.InHeader{NodeId: rootIno}
	if st := m.fs.Rename(nil, &fuse.RenameIn{InHeader: root, Newdir: rootIno}, "d", "e"); errnoOf(st) != syscall.ESTALE {
		t.Errorf("the rename: %v", st)
	}
	if n := m.fs.Rescued(); n != 1 {
		t.Errorf("%d files were put aside", n)
	}
	files, _ := filepath.Glob(filepath.Join(m.recovery, "*"))
	for _, path := range files {
		os.Remove(path) // as recover does when it has uploaded one
	}
	if n := m.fs.Rescued(); n != 0 {
		t.Errorf("%d files are kept when they have been recovered", n)
	}
	if errno := theirs.close(); errno != syscall.ESTALE {
		t.Errorf("closing the one that was changed: %v", errno)
	}
	if errno := ours.close(); errno != 0 {
		t.Errorf("closing the other: %v", errno)
	}
	if got, _ := mem.Bytes("d/ours"); string(got) != "ours" {
		t.Errorf("it is %q", got)
	}
	if err := m.end(); err != nil {
		t.Error(err)
	}
}
