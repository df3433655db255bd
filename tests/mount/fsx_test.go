package mount

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cgs3fs/cgs3fs/tests/harness"
)

// TestOneFileUnderRandomUse does what the fsx programs do: random reads,
// writes, truncates, mappings, reopens and remounts of one file, each compared
// with the same bytes kept in memory. The small file crosses no part of an
// upload, the large one many.
func TestOneFileUnderRandomUse(t *testing.T) {
	t.Parallel()
	cache := filepath.Join(t.TempDir(), "cache")
	for _, size := range []struct {
		name    string
		maxSize int64
		maxIO   int
		ops     int
		mount   harness.MountOptions
		cache   string // from which files vanish at any moment
	}{
		{"small", 256 << 10, 64 << 10, 100_000, harness.MountOptions{}, ""},
		{"large", 40 << 20, 4 << 20, 2_000, harness.MountOptions{}, ""},
		{"large in little memory", 40 << 20, 4 << 20, 1_000, harness.MountOptions{Flags: []string{"--memory-limit", "64M"}}, ""},
		{"with few descriptors", 12 << 20, 512 << 10, 2_000, harness.MountOptions{
			Flags:    []string{"--memory-limit", "64M", "--part-size", "5M", "--cache", cache},
			Launcher: []string{"prlimit", "--nofile=64:64", "--"},
		}, cache},
	} {
		t.Run(size.name, func(t *testing.T) {
			t.Parallel()
			s := harness.NewDirectServer(t)
			client := s.Bucket(t)
			m := s.MountWith(t, client.Bucket, size.mount)
			seed := harness.Seed(t)
			x := &fsx{
				t: t, m: m, client: client, path: m.Path("file"), rnd: rand.New(rand.NewPCG(seed, 0)),
				maxSize: size.maxSize, maxIO: size.maxIO, cache: size.cache,
			}
			x.open(os.O_CREATE | os.O_EXCL)
			defer func() { x.f.Close() }()
			deadline := harness.SoakDeadline(t)
			for n := 0; n < size.ops || time.Now().Before(deadline); n++ {
				if err := x.step(n); err != nil {
					t.Fatalf("seed %d, operation %d: %v\nthe last operations:\n%s", seed, n, err, strings.Join(x.history, "\n"))
				}
			}
			if err := x.reopen(); err != nil {
				t.Fatalf("seed %d, at the end: %v", seed, err)
			}
			wantEqual(t, "the object", client.Get(t, "file"), x.want)
			if size.cache != "" && x.dropped == 0 {
				t.Error("the cache on disk held nothing")
			}
			t.Log(x.dropped, "files of the cache were dropped")
		})
	}
}

// fsx is a file and what it should hold.
type fsx struct {
	t       testing.TB
	m       *harness.Mount
	client  *harness.Client
	path    string
	f       *os.File
	want    []byte
	rnd     *rand.Rand
	maxSize int64
	maxIO   int
	dropped int      // files of the cache
	cache   string   // the directory of the cache on disk; "" if there is none
	history []string // the last operations, for the report of a failure
}

func (x *fsx) note(format string, args ...any) {
	const enough = 40
	x.history = append(x.history, fmt.Sprintf(format, args...))
	if len(x.history) > enough {
		x.history = x.history[1:]
	}
}

// step does one random operation. The weights make a file that is mostly read
// and written, often enough closed, and now and then mounted anew.
func (x *fsx) step(n int) error {
	if x.cache != "" && n%20 == 0 {
		x.dropCached()
	}
	switch p := x.rnd.IntN(10_000); {
	case p < 3500:
		return x.read()
	case p < 7000:
		return x.write()
	case p < 7800:
		return x.truncate()
	case p < 8500:
		return x.mapRead()
	case p < 9200:
		return x.mapWrite()
	case p < 9450:
		x.note("%d: fsync", n)
		return x.f.Sync()
	case p < 9700:
		x.note("%d: reopen", n)
		return x.reopen()
	case p < 9900:
		return x.append()
	case p < 9990:
		return x.checkSize()
	case p < 9997:
		x.note("%d: truncating open", n)
		return x.truncatingOpen()
	default:
		x.note("%d: remount", n)
		return x.remount()
	}
}

func (x *fsx) span() (off int64, n int) {
	off = x.rnd.Int64N(x.maxSize)
	n = 1 + x.rnd.IntN(x.maxIO)
	return off, int(min(int64(n), x.maxSize-off))
}

func (x *fsx) read() error {
	off, n := x.span()
	x.note("read %d at %d of %d", n, off, len(x.want))
	buf := make([]byte, n)
	got, err := x.f.ReadAt(buf, off)
	want := x.want[min(off, int64(len(x.want))):min(off+int64(n), int64(len(x.want)))]
	if err != nil && !(errors.Is(err, io.EOF) && got == len(want)) {
		return err
	}
	return differ(off, buf[:got], want)
}

func (x *fsx) write() error {
	off, n := x.span()
	x.note("write %d at %d of %d", n, off, len(x.want))
	data := harness.Noise(x.rnd.Uint64(), n)
	if _, err := x.f.WriteAt(data, off); err != nil {
		return err
	}
	x.grow(off + int64(n))
	copy(x.want[off:], data)
	return nil
}

// append writes through a second descriptor opened for appending.
func (x *fsx) append() error {
	room := x.maxSize - int64(len(x.want))
	if room == 0 {
		return nil
	}
	n := 1 + x.rnd.IntN(int(min(int64(x.maxIO), room)))
	x.note("append %d to %d", n, len(x.want))
	f, err := os.OpenFile(x.path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	data := harness.Noise(x.rnd.Uint64(), n)
	_, err = f.Write(data)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	x.want = append(x.want, data...)
	return nil
}

func (x *fsx) truncate() error {
	size := x.rnd.Int64N(x.maxSize + 1)
	if x.rnd.IntN(2) == 0 { // mostly near the present size, so that the file is seldom all holes
		size = min(int64(len(x.want))+x.rnd.Int64N(8192), x.maxSize)
	}
	x.note("truncate %d to %d", len(x.want), size)
	if err := x.f.Truncate(size); err != nil {
		return err
	}
	if size < int64(len(x.want)) {
		x.want = x.want[:size]
	}
	x.grow(size)
	return nil
}

// grow makes the model at least size long; what is new is zero.
func (x *fsx) grow(size int64) {
	if more := size - int64(len(x.want)); more > 0 {
		x.want = append(x.want, make([]byte, more)...)
	}
}

// mapped calls do with n bytes of the file at off mapped into memory.
func (x *fsx) mapped(off int64, n, prot int, do func([]byte)) error {
	page := off &^ int64(os.Getpagesize()-1)
	mem, err := syscall.Mmap(int(x.f.Fd()), page, n+int(off-page), prot, syscall.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("mmap: %w", err)
	}
	do(mem[off-page:])
	return syscall.Munmap(mem)
}

// within is a span inside the file, for a mapping must not be touched past the end.
func (x *fsx) within() (off int64, n int, ok bool) {
	off, n = x.span()
	if off >= int64(len(x.want)) {
		return 0, 0, false
	}
	return off, int(min(int64(n), int64(len(x.want))-off)), true
}

func (x *fsx) mapRead() error {
	off, n, ok := x.within()
	if !ok {
		return nil
	}
	x.note("read %d at %d of %d through a mapping", n, off, len(x.want))
	got := make([]byte, n)
	if err := x.mapped(off, n, syscall.PROT_READ, func(mem []byte) { copy(got, mem) }); err != nil {
		return err
	}
	return differ(off, got, x.want[off:off+int64(n)])
}

func (x *fsx) mapWrite() error {
	off, n, ok := x.within()
	if !ok {
		return nil
	}
	x.note("write %d at %d of %d through a mapping", n, off, len(x.want))
	data := harness.Noise(x.rnd.Uint64(), n)
	if err := x.mapped(off, n, syscall.PROT_READ|syscall.PROT_WRITE, func(mem []byte) { copy(mem, data) }); err != nil {
		return err
	}
	copy(x.want[off:], data)
	return nil
}

func (x *fsx) checkSize() error {
	info, err := os.Stat(x.path)
	if err != nil {
		return err
	}
	if info.Size() != int64(len(x.want)) {
		return fmt.Errorf("stat says %d bytes, want %d", info.Size(), len(x.want))
	}
	return nil
}

// reopen closes the file, compares what S3 then holds, and opens it again. A
// whole comparison of a large file each time would take all the time there is.
func (x *fsx) reopen() error {
	if err := x.f.Close(); err != nil {
		return err
	}
	if x.maxSize < 1<<20 || x.rnd.IntN(4) == 0 {
		got, err := x.client.Read(x.t.Context(), "file")
		if err != nil {
			return fmt.Errorf("through the S3 client: %w", err)
		}
		if err := differ(0, got, x.want); err != nil {
			return fmt.Errorf("through the S3 client: %w", err)
		}
	}
	x.open(0)
	return nil
}

func (x *fsx) truncatingOpen() error {
	if err := x.f.Close(); err != nil {
		return err
	}
	x.want = x.want[:0]
	x.open(os.O_TRUNC)
	return nil
}

func (x *fsx) remount() error {
	if err := x.f.Close(); err != nil {
		return err
	}
	x.m.Remount(x.t)
	x.open(0)
	return nil
}

// dropCached removes some files of the cache on disk, as a user who needs the room does.
func (x *fsx) dropCached() {
	blocks, _ := filepath.Glob(filepath.Join(x.cache, "*.block*"))
	for _, path := range blocks {
		if x.rnd.IntN(4) == 0 && os.Remove(path) == nil {
			x.dropped++
		}
	}
}

func (x *fsx) open(flags int) {
	x.t.Helper()
	f, err := os.OpenFile(x.path, os.O_RDWR|flags, 0o644)
	if err != nil {
		x.t.Fatalf("opening: %v\n%s", err, strings.Join(x.history, "\n"))
	}
	x.f = f
}

// differ says where got and want part.
func differ(off int64, got, want []byte) error {
	if len(got) != len(want) {
		return fmt.Errorf("got %d bytes at %d, want %d", len(got), off, len(want))
	}
	for i := range got {
		if got[i] != want[i] {
			return fmt.Errorf("byte %d is %#02x, want %#02x", off+int64(i), got[i], want[i])
		}
	}
	return nil
}
