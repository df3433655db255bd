//go:build linux

package transfer

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/cgs3fs/cgs3fs/s3"
)

// tinyDisk mounts a file system of n bytes.
func tinyDisk(t *testing.T, n string) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+n); err != nil {
		t.Skipf("mounting a small file system: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func TestFullDiskIsToldByTheWriteThatMetIt(t *testing.T) {
	for _, sequential := range []bool{true, false} {
		b, mem := bucket()
		e := newEngine(t, b, Config{Memory: minMemory, StageDir: tinyDisk(t, "4m")})
		d := e.NewDraft("a", nil, DraftOptions{Sequential: sequential})
		want := noise(30<<20, 1)
		const step = 300_000
		off := 0
		for ; off < len(want); off += step {
			err := d.WriteAt(bg, want[off:off+step], int64(off))
			if errors.Is(err, ErrFull) && errors.Is(err, syscall.ENOSPC) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if off == 0 || off >= len(want) {
			t.Fatalf("sequential %v: %d bytes were taken", sequential, off)
		}
		if got := content(t, d); !bytes.Equal(got, want[:off]) {
			t.Fatalf("sequential %v: the content has %d bytes, want the first %d", sequential, len(got), off)
		}
		commit(t, d, "a", s3.PutOptions{})
		checkObject(t, mem, "a", want[:off])
		if err := d.Discard(bg); err != nil {
			t.Error(err)
		}
	}
}

func TestStagingFilesHaveNoName(t *testing.T) {
	for name, create := range map[string]func(string) (*os.File, error){"unnamed": createStage, "named first": createNamedStage} {
		dir := t.TempDir()
		f, err := create(dir)
		if err != nil {
			t.Fatal(err)
		}
		if left, _ := filepath.Glob(dir + "/*"); len(left) > 0 {
			t.Errorf("%s: %v", name, left)
		}
		if st, err := f.Stat(); err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("%s: mode %v, %v", name, st.Mode(), err)
		}
		f.Close()
	}
}

func TestSparseFileTakesNoRoom(t *testing.T) {
	b, mem := bucket()
	e := newEngine(t, b, Config{StageDir: tinyDisk(t, "2m")})
	d := newDraft(t, e, "a", nil, false)
	if err := d.Truncate(bg, 20<<20); err != nil {
		t.Fatal(err)
	}
	write(t, d, []byte("end"), 20<<20)
	commit(t, d, "a", s3.PutOptions{})
	checkObject(t, mem, "a", append(make([]byte, 20<<20), "end"...))
}
