package fs

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"go.uber.org/goleak"

	"github.com/cgs3fs/cgs3fs/s3"
	"github.com/cgs3fs/cgs3fs/s3/s3test"
	"github.com/cgs3fs/cgs3fs/transfer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a bucket in memory, mounted.
type rig struct {
	*testing.T
	mem    *s3test.Mem
	faulty *s3test.Faulty
	fs     *FS
	m      *Mounted
	dir    string
}

// mounted mounts a bucket in memory and unmounts it at the end of the test,
// checking that nothing is left behind.
func mounted(t *testing.T, cfg Config) *rig {
	t.Helper()
	return mountOver(t, s3test.NewMem(s3test.MemConfig{}), cfg)
}

func mountOver(t *testing.T, mem *s3test.Mem, cfg Config) *rig {
	t.Helper()
	if _, err := os.Stat("/dev/fuse"); err != nil {
		t.Skip("no /dev/fuse")
	}
	r := &rig{T: t, mem: mem, dir: t.TempDir()}
	r.faulty = s3test.NewFaulty(mem, s3test.Plan{})
	stage := t.TempDir()
	xfer, err := transfer.New(r.faulty, nil, transfer.Config{Memory: 64 << 20, StageDir: stage})
	if err != nil {
		t.Fatal(err)
	}
	if cfg.TTL == 0 {
		cfg.TTL, cfg.NegativeTTL = time.Minute, time.Minute
	}
	cfg.UID, cfg.GID = uint32(os.Getuid()), uint32(os.Getgid())
	cfg.Log = slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelWarn}))
	if cfg.RecoveryDir == "" {
		cfg.RecoveryDir = t.TempDir()
	}
	cfg.attributesWait = time.Hour // they are written when a test asks for it
	if r.fs, err = New(r.faulty, xfer, cfg); err != nil {
		t.Fatal(err)
	}
	if r.m, err = Mount(r.fs, r.dir); err != nil {
		t.Fatal(err)
	}
	// Tests use the mount in the process that serves it: the runtime's poller must
	// not ask it, and the first question teaches the kernel that.
	if err := r.fs.server.WaitMount(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r.unmount()
		if err := xfer.Close(); err != nil {
			t.Errorf("closing the engine: %v", err)
		}
		if left := mem.Uploads(); len(left) > 0 && !t.Failed() {
			t.Errorf("uploads left: %v", left)
		}
		if n := mem.OpenBodies(); n > 0 {
			t.Errorf("%d response bodies left open", n)
		}
		if left, _ := os.ReadDir(stage); len(left) > 0 {
			t.Errorf("staged files left: %v", left)
		}
	})
	return r
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

func (r *rig) unmount() {
	r.Helper()
	if r.m == nil {
		return
	}
	if err := r.m.Unmount(); err != nil {
		r.Errorf("unmount: %v", err)
		_ = unix.Unmount(r.dir, unix.MNT_DETACH)
	}
	r.m.Wait()
	r.m = nil
}

func (r *rig) path(name string) string { return filepath.Join(r.dir, name) }

func (r *rig) write(name, text string) {
	r.Helper()
	if err := os.WriteFile(r.path(name), []byte(text), 0o644); err != nil {
		r.Fatal(err)
	}
}

func (r *rig) read(name string) string {
	r.Helper()
	b, err := os.ReadFile(r.path(name))
	if err != nil {
		r.Fatal(err)
	}
	return string(b)
}

func (r *rig) object(key, want string) {
	r.Helper()
	got, ok := r.mem.Bytes(key)
	if !ok || string(got) != want {
		r.Fatalf("object %q is %.60q (there: %v), want %.60q", key, got, ok, want)
	}
}

func (r *rig) names(dir string) []string {
	r.Helper()
	entries, err := os.ReadDir(r.path(dir))
	if err != nil {
		r.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

// must fails the test on an error.
func (r *rig) must(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

// want expects an errno.
func (r *rig) want(err error, errno syscall.Errno) {
	r.Helper()
	if !errors.Is(err, errno) {
		r.Errorf("got %v, want %v", err, errno)
	}
}

// calls expects the requests since the last Reset.
func (r *rig) calls(want map[string]int) {
	r.Helper()
	if got := r.faulty.Calls(); fmt.Sprint(got) != fmt.Sprint(want) {
		r.Errorf("requests %v, want %v", got, want)
	}
	r.faulty.Reset()
}

func TestWrittenFileIsAnObjectWhenCloseReturns(t *testing.T) {
	r := mounted(t, Config{})
	r.write("a.txt", "hello")
	r.object("a.txt", "hello")
	if got := r.read("a.txt"); got != "hello" {
		t.Errorf("read %q", got)
	}
	r.must(os.Mkdir(r.path("d"), 0o755))
	r.write("d/b", strings.Repeat("x", 3<<20))
	r.object("d/b", strings.Repeat("x", 3<<20))
	if got := r.names(""); !slices.Equal(got, []string{"a.txt", "d"}) {
		t.Errorf("names %q", got)
	}
}

func TestObjectsAreFiles(t *testing.T) {
	mem := s3test.NewMem(s3test.MemConfig{})
	mem.PutBytes("dir/sub/file", []byte("content"))
	mem.PutBytes("empty", nil)
	r := mountOver(t, mem, Config{})
	if got := r.read("dir/sub/file"); got != "content" {
		t.Errorf("read %q", got)
	}
	if got := r.read("empty"); got != "" {
		t.Errorf("read %q", got)
	}
	_, err := os.Stat(r.path("nothing"))
	r.want(err, syscall.ENOENT)
}

func TestAppendAndOverwriteInPlace(t *testing.T) {
	r := mounted(t, Config{})
	r.write("f", "0123456789")
	f, err := os.OpenFile(r.path("f"), os.O_RDWR|os.O_APPEND, 0)
	r.must(err)
	_, err = f.Write([]byte("abc"))
	r.must(err)
	r.must(f.Close())
	r.object("f", "0123456789abc")
	f, err = os.OpenFile(r.path("f"), os.O_RDWR, 0)
	r.must(err)
	_, err = f.WriteAt([]byte("XY"), 4)
	r.must(err)
	r.must(f.Truncate(11))
	r.must(f.Close())
	r.object("f", "0123XY6789a")
	r.must(os.Truncate(r.path("f"), 3))
	r.object("f", "012")
}

func TestLargeFileStreamsAndReadsBack(t *testing.T) {
	r := mounted(t, Config{})
	data := make([]byte, 37<<20)
	rng := rand.NewChaCha8([32]byte{1})
	rng.Read(data)
	r.must(os.WriteFile(r.path("big"), data, 0o644))
	got, _ := r.mem.Bytes("big")
	if !bytes.Equal(got, data) {
		t.Fatal("the object differs from what was written")
	}
	back, err := os.ReadFile(r.path("big"))
	r.must(err)
	if !bytes.Equal(back, data) {
		t.Fatal("read back something else")
	}
}

func TestRequestCounts(t *testing.T) {
	mem := s3test.NewMem(s3test.MemConfig{})
	for i := range 2500 {
		mem.PutBytes(fmt.Sprintf("f%05d", i), []byte("x"))
	}
	r := mountOver(t, mem, Config{})
	r.faulty.Reset()
	entries, err := os.ReadDir(r.dir)
	r.must(err)
	for _, e := range entries {
		_, err := e.Info()
		r.must(err)
	}
	r.calls(map[string]int{"ListObjectsV2": 3})
	r.read("f00100")
	r.calls(map[string]int{"GetObject": 1})
	r.write("new", "x")
	r.calls(map[string]int{"PutObject": 1})
	_, err = os.Stat(r.path("missing"))
	r.want(err, syscall.ENOENT)
	r.calls(map[string]int{})
	r.read("new")
	r.calls(map[string]int{"GetObject": 1})
	r.must(os.Remove(r.path("new")))
	r.calls(map[string]int{"DeleteObjects": 1})
}

func TestRenameOfFileAndDirectory(t *testing.T) {
	r := mounted(t, Config{})
	r.must(os.MkdirAll(r.path("d/e"), 0o755))
	for i := range 20 {
		r.write(fmt.Sprintf("d/e/f%d", i), fmt.Sprint(i))
	}
	r.must(os.Rename(r.path("d/e/f3"), r.path("moved")))
	r.object("moved", "3")
	r.must(os.Rename(r.path("d"), r.path("x")))
	r.object("x/e/f7", "7")
	if got := r.read("x/e/f7"); got != "7" {
		t.Errorf("read %q", got)
	}
	for _, k := range r.mem.Keys() {
		if strings.HasPrefix(k, "d/") {
			t.Errorf("%q is still there", k)
		}
	}
	r.write("x/e/f7", "seven")
	r.object("x/e/f7", "seven")
	r.must(os.Rename(r.path("moved"), r.path("x/e/f7")))
	r.object("x/e/f7", "3")
	r.want(unix.Renameat2(unix.AT_FDCWD, r.path("x/e/f1"), unix.AT_FDCWD, r.path("x/e/f2"), unix.RENAME_NOREPLACE), syscall.EEXIST)
}

func TestDirectoryOutlivesItsLastFile(t *testing.T) {
	mem := s3test.NewMem(s3test.MemConfig{})
	mem.PutBytes("d/only", []byte("x"))
	r := mountOver(t, mem, Config{})
	r.want(os.Remove(r.path("d")), syscall.ENOTEMPTY)
	r.must(os.Remove(r.path("d/only")))
	if got := r.mem.Keys(); !slices.Equal(got, []string{"d/"}) {
		t.Errorf("keys %q", got)
	}
	r.must(os.Remove(r.path("d")))
	if got := r.mem.Keys(); len(got) != 0 {
		t.Errorf("keys %q", got)
	}
}

func TestOpenFileOutlivesUnlink(t *testing.T) {
	r := mounted(t, Config{})
	r.write("f", "still here")
	f, err := os.Open(r.path("f"))
	r.must(err)
	defer f.Close()
	r.must(os.Remove(r.path("f")))
	buf := make([]byte, 10)
	_, err = f.ReadAt(buf, 0)
	r.must(err)
	if string(buf) != "still here" {
		t.Errorf("read %q", buf)
	}
	if len(r.mem.Keys()) != 0 {
		t.Errorf("keys %q", r.mem.Keys())
	}
}

func TestOpenReaderKeepsItsVersion(t *testing.T) {
	mem := s3test.NewMem(s3test.MemConfig{})
	old := bytes.Repeat([]byte("o"), 20<<20)
	mem.PutBytes("f", old)
	r := mountOver(t, mem, Config{})
	f, err := os.Open(r.path("f"))
	r.must(err)
	defer f.Close()
	buf := make([]byte, 1000)
	_, err = f.ReadAt(buf, 0)
	r.must(err)
	mem.PutBytes("f", bytes.Repeat([]byte("n"), 10<<20))
	if got := r.read("f"); strings.Trim(got, "n") != "" || len(got) != 10<<20 {
		t.Errorf("a new open read %.20q…, %d bytes", got, len(got))
	}
	for off := int64(0); off < int64(len(old)); off += 1 << 20 {
		n, err := f.ReadAt(buf, off)
		if err != nil {
			r.want(err, syscall.ESTALE)
			continue
		}
		if bytes.ContainsRune(buf[:n], 'n') {
			t.Fatalf("at %d the old descriptor reads the new version", off)
		}
	}
}

func TestOpenReaderOfADeletedObjectIsToldSo(t *testing.T) {
	r := mounted(t, Config{TTL: time.Millisecond, NegativeTTL: time.Millisecond})
	r.mem.PutBytes("f", bytes.Repeat([]byte("x"), 40<<20))
	f, err := os.Open(r.path("f"))
	r.must(err)
	defer f.Close()
	buf := make([]byte, 4096)
	_, err = f.ReadAt(buf, 0)
	r.must(err)
	r.must(r.mem.Delete(t.Context(), s3.Target{Key: "f"}))
	_, err = f.ReadAt(buf, 30<<20) // was never asked for
	r.want(err, syscall.ESTALE)
	_, err = os.Open(r.path("f"))
	r.want(err, syscall.ENOENT)
}

func TestEditOverSomebodyElsesChangeIsRefused(t *testing.T) {
	mem := s3test.NewMem(s3test.MemConfig{})
	mem.PutBytes("f", []byte("first"))
	recovery := t.TempDir()
	r := mountOver(t, mem, Config{RecoveryDir: recovery})
	f, err := os.OpenFile(r.path("f"), os.O_RDWR, 0)
	r.must(err)
	_, err = f.WriteAt([]byte("mine"), 0)
	r.must(err)
	mem.PutBytes("f", []byte("theirs"))
	r.want(f.Close(), syscall.ESTALE)
	r.object("f", "theirs")
	kept, err := os.ReadDir(recovery)
	r.must(err)
	if len(kept) == 0 {
		t.Error("nothing was kept in the recovery directory")
	}
	if got := r.read("f"); got != "theirs" {
		t.Errorf("read %q", got)
	}
}

func TestSymlinksAreReadableFromAListing(t *testing.T) {
	r := mounted(t, Config{})
	r.write("target", "t")
	r.must(os.Symlink("target", r.path("link")))
	r.object("link.rclonelink", "target")
	if got, err := os.Readlink(r.path("link")); err != nil || got != "target" {
		t.Errorf("readlink %q, %v", got, err)
	}
	if got := r.read("link"); got != "t" {
		t.Errorf("read %q", got)
	}
	entries, err := os.ReadDir(r.dir)
	r.must(err)
	if entries[0].Type()&os.ModeSymlink == 0 {
		t.Errorf("%v is no link in the listing", entries[0])
	}
	r.must(os.Rename(r.path("link"), r.path("other")))
	r.object("other.rclonelink", "target")
	r.must(os.Remove(r.path("other")))
}

func TestTimesModesAndXattrsBecomeMetadata(t *testing.T) {
	r := mounted(t, Config{})
	f, err := os.OpenFile(r.path("f"), os.O_CREATE|os.O_WRONLY, 0o640)
	r.must(err)
	_, err = f.WriteString("x")
	r.must(err)
	r.must(f.Chmod(0o600))
	when := time.Unix(1234567890, 123000000)
	r.must(unix.UtimesNanoAt(unix.AT_FDCWD, r.path("f"), []unix.Timespec{{Sec: 1}, unix.NsecToTimespec(when.UnixNano())}, 0))
	r.must(unix.Fsetxattr(int(f.Fd()), "user.colour", []byte("red & blue"), 0))
	r.faulty.Reset()
	r.must(f.Close())
	r.calls(map[string]int{"PutObject": 1})
	info, err := r.mem.Head(t.Context(), "f")
	r.must(err)
	if got := info.Metadata; got["mode"] != "33152" || got["mtime"] != "1234567890.123" || got["colour"] != "red+%26+blue" {
		t.Errorf("metadata %q", got)
	}
	st, err := os.Stat(r.path("f"))
	r.must(err)
	if !st.ModTime().Equal(when) || st.Mode().Perm() != 0o600 {
		t.Errorf("stat says %v %v", st.ModTime(), st.Mode())
	}
	// After a remount only the metadata knows.
	r.unmount()
	again := mountOver(t, r.mem, Config{Posix: true})
	st, err = os.Stat(again.path("f"))
	again.must(err)
	if !st.ModTime().Equal(when) || st.Mode().Perm() != 0o600 {
		t.Errorf("after a remount stat says %v %v", st.ModTime(), st.Mode())
	}
	buf := make([]byte, 100)
	n, err := unix.Getxattr(again.path("f"), "user.colour", buf)
	again.must(err)
	if string(buf[:n]) != "red & blue" {
		t.Errorf("xattr %q", buf[:n])
	}
}

func TestExclusiveCreateHasOneWinner(t *testing.T) {
	mem := s3test.NewMem(s3test.MemConfig{})
	a, b := mountOver(t, mem, Config{}), mountOver(t, mem, Config{})
	open := func(r *rig) *os.File {
		f, err := os.OpenFile(r.path("lock"), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
		r.must(err)
		_, err = f.WriteString(r.dir)
		r.must(err)
		return f
	}
	fa, fb := open(a), open(b)
	a.must(fa.Close())
	b.want(fb.Close(), syscall.EEXIST)
	a.object("lock", a.dir)
}

func TestUnavailableServerIsAnErrorAndNothingIsLost(t *testing.T) {
	recovery := t.TempDir()
	r := mounted(t, Config{RecoveryDir: recovery})
	f, err := os.Create(r.path("f"))
	r.must(err)
	_, err = f.WriteString("precious")
	r.must(err)
	r.faulty.SetPlan(s3test.Plan{Rules: []s3test.Rule{{Fault: s3test.Fault{Do: s3test.Fail}}}})
	r.want(f.Sync(), syscall.EIO)
	r.faulty.SetPlan(s3test.Plan{})
	r.must(f.Close())
	r.object("f", "precious")
}

func TestWalkIsAFewFlatListings(t *testing.T) {
	mem := s3test.NewMem(s3test.MemConfig{})
	for i := range 300 {
		for j := range 10 {
			mem.PutBytes(fmt.Sprintf("t/d%03d/s%d/f", i, j), []byte("x"))
		}
		mem.PutBytes(fmt.Sprintf("t/d%03d/", i), nil)
	}
	now := time.Now()
	r := mountOver(t, mem, Config{Now: func() time.Time { return now }}) // a walk ends with a pause
	files := 0
	r.must(filepath.WalkDir(r.path("t"), func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files++
		}
		return err
	}))
	if files != 3000 {
		t.Errorf("found %d files, want 3000", files)
	}
	if n := r.faulty.Calls()["ListObjectsV2"]; n > 20 {
		t.Errorf("%d listings of 3,301 directories with 3,300 keys", n)
	}
}

func TestShellRedirectionIsOnePut(t *testing.T) {
	r := mounted(t, Config{})
	r.names("")
	r.faulty.Reset()
	for _, script := range []string{`echo hi > "$0"`, `cat /dev/null > "$0"; exec 3>"$0"; echo hi >&3; exec 3>&-`, `dd if=/dev/zero of="$0" bs=1k count=1 2>/dev/null`} {
		name := fmt.Sprintf("f%d", len(script))
		if out, err := exec.Command("sh", "-c", script, r.path(name)).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", script, err, out)
		}
		puts := r.faulty.Calls()[s3.OpPut]
		want := 1
		if strings.Contains(script, "/dev/null >") {
			want = 2 // two files are saved, one after the other, under one name
		}
		if puts != want {
			t.Errorf("%s: %d PUTs, want %d", script, puts, want)
		}
		r.faulty.Reset()
	}
	f, err := os.Create(r.path("empty"))
	r.must(err)
	r.must(f.Close())
	r.object("empty", "")
}

func TestLinkThatSomebodyElseChangedLeadsElsewhere(t *testing.T) {
	mem := s3test.NewMem(s3test.MemConfig{})
	mem.PutBytes("l.rclonelink", []byte("before"))
	r := mountOver(t, mem, Config{TTL: time.Nanosecond})
	target := func() string {
		got, err := os.Readlink(r.path("l"))
		r.must(err)
		return got
	}
	if got := target(); got != "before" {
		t.Fatalf("the link leads to %q", got)
	}
	mem.PutBytes("l.rclonelink", []byte("after"))
	r.fs.server.EntryNotify(rootIno, "l") // as after the kernel's own time for the name
	if got := target(); got != "after" {
		t.Errorf("the changed link leads to %q", got)
	}
	r.must(os.Rename(r.path("l"), r.path("m")))
	if got, err := os.Readlink(r.path("m")); err != nil || got != "after" {
		t.Errorf("the renamed link leads to %q, %v", got, err)
	}
}
