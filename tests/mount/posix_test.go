package mount

import (
	"errors"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/hanwen/go-fuse/v2/posixtest"
	"golang.org/x/sys/unix"

	"github.com/cgs3fs/cgs3fs/tests/harness"
)

// refused lists the tests of go-fuse's suite that do not hold here, each with
// the reason, which SEMANTICS.md gives to users as well. TestRefusals holds what
// happens instead.
var refused = map[string]string{
	"Tmpfile":             "S3 has no nameless objects: O_TMPFILE is EOPNOTSUPP",
	"XAttrLarge":          "S3 keeps 2 KB of metadata with an object: more is ENOSPC",
	"RenameOpenDir":       "fstat of a directory that was replaced while it was open is ESTALE",
	"Link":                "S3 has no hard links: link is refused with EPERM",
	"LinkUnlinkRename":    "needs hard links",
	"FallocateKeepSize":   "S3 reserves no space: fallocate beyond the end without changing the size is EOPNOTSUPP",
	"OpenSymlinkRace":     "a name that is replaced again and again while it is opened may be ESTALE twice, and then the kernel gives up",
	"FcntlFlockLocksFile": "expects two POSIX locks of one process to conflict, which they do on no local file system",
}

func TestPosix(t *testing.T) {
	s := harness.NewServer(t)
	m := s.Mount(t, s.Bucket(t).Bucket)
	var names []string
	for name := range posixtest.All {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			if why, ok := refused[name]; ok {
				t.Skip(why)
			}
			defer func() {
				if t.Skipped() {
					t.Error("the suite found something missing that is not listed as refused")
				}
			}()
			// Some of the suite's tests look at the whole directory they are given.
			dir := m.Path(strings.ToLower(name))
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			posixtest.All[name](t, dir)
		})
	}
	for name := range refused {
		if _, ok := posixtest.All[name]; !ok {
			t.Errorf("%s is listed as refused but is no test of the suite", name)
		}
	}
}

// A name is opened while it becomes a file, a link and a file again. What is opened
// is one of these, or the open says that it came too late.
func TestOpenOfANameThatIsReplaced(t *testing.T) {
	s := harness.NewServer(t)
	m := s.Mount(t, s.Bucket(t).Bucket)
	path, next := m.Path("name"), m.Path("next")
	write(t, m.Path("target"), []byte("target"))
	write(t, path, []byte("file"))
	done := make(chan error, 1)
	go func() {
		var errs []error
		for range 100 {
			errs = append(errs, os.WriteFile(next, []byte("file"), 0o644), os.Rename(next, path), os.Symlink("target", next), os.Rename(next, path))
		}
		done <- errors.Join(errs...)
	}()
	opened, late := 0, 0
	for {
		switch p, err := os.ReadFile(path); {
		case errors.Is(err, syscall.ESTALE):
			late++
		case err != nil:
			t.Fatal(err)
		case string(p) != "file" && string(p) != "target":
			t.Fatalf("read %q", p)
		default:
			opened++
		}
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
			if t.Logf("%d opened, %d came too late", opened, late); opened == 0 {
				t.Error("none was opened")
			}
			return
		default:
		}
	}
}

// What is refused is refused with the documented errno, not by accident.
func TestRefusals(t *testing.T) {
	s := harness.NewServer(t)
	m := s.Mount(t, s.Bucket(t).Bucket)
	write(t, m.Path("file"), []byte("content"))
	for _, row := range []struct {
		what string
		do   func() error
		want syscall.Errno
	}{
		{"hard link", func() error { return os.Link(m.Path("file"), m.Path("link")) }, syscall.EPERM},
		{"device", func() error { return syscall.Mknod(m.Path("null"), syscall.S_IFCHR|0o600, 0x103) }, syscall.EPERM},
		{"fifo", func() error { return syscall.Mkfifo(m.Path("fifo"), 0o600) }, syscall.EPERM},
		{"socket", func() error { return syscall.Mknod(m.Path("socket"), syscall.S_IFSOCK|0o600, 0) }, syscall.EPERM},
		{"long name", func() error { return os.Mkdir(m.Path(strings.Repeat("n", 256)), 0o755) }, syscall.ENAMETOOLONG},
		{"rmdir of a full directory", func() error {
			return errors.Join(os.Mkdir(m.Path("full"), 0o755), os.WriteFile(m.Path("full", "f"), nil, 0o644), syscall.Rmdir(m.Path("full")))
		}, syscall.ENOTEMPTY},
		{"rename of a directory into itself", func() error { return os.Rename(m.Path("full"), m.Path("full", "below")) }, syscall.EINVAL},
		{"rename onto a full directory", func() error {
			return errors.Join(os.Mkdir(m.Path("other"), 0o755), os.Rename(m.Path("other"), m.Path("full")))
		}, syscall.ENOTEMPTY},
		{"file in the place of a directory", func() error { return os.Rename(m.Path("file"), m.Path("full")) }, syscall.EISDIR},
		{"exchanging rename", func() error {
			return unix.Renameat2(unix.AT_FDCWD, m.Path("file"), unix.AT_FDCWD, m.Path("full"), unix.RENAME_EXCHANGE)
		}, syscall.EINVAL},
		{"nameless file", func() error {
			fd, err := unix.Open(m.Dir, unix.O_TMPFILE|unix.O_RDWR, 0o600)
			if err == nil {
				unix.Close(fd)
			}
			return err
		}, syscall.EOPNOTSUPP},
		{"hole punched", func() error {
			return withFile(m.Path("file"), func(fd int) error {
				return unix.Fallocate(fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 0, 4)
			})
		}, syscall.EOPNOTSUPP},
		{"space reserved beyond the end", func() error {
			return withFile(m.Path("file"), func(fd int) error { return unix.Fallocate(fd, unix.FALLOC_FL_KEEP_SIZE, 0, 1<<20) })
		}, syscall.EOPNOTSUPP},
		{"more attributes than S3 keeps", func() error {
			return unix.Setxattr(m.Path("file"), "user.large", make([]byte, 4096), 0)
		}, syscall.ENOSPC},
		{"attribute with a name that no header can have", func() error {
			return unix.Setxattr(m.Path("file"), "user.A name", []byte("x"), 0)
		}, syscall.EOPNOTSUPP},
		{"attribute of another kind", func() error {
			return unix.Setxattr(m.Path("file"), "trusted.x", []byte("x"), 0)
		}, syscall.EOPNOTSUPP},
		{"name of the escape that is no escape", func() error { return os.Mkdir(m.Path("@s3x"), 0o755) }, syscall.EINVAL},
		{"name of the empty key", func() error { return os.WriteFile(m.Path("@s3:"), []byte("x"), 0o644) }, syscall.EINVAL},
		{"name of a symbolic link's object", func() error { return os.WriteFile(m.Path("x.rclonelink"), nil, 0o644) }, syscall.EINVAL},
		{"fstat of a directory that was replaced", func() error {
			if err := errors.Join(os.Mkdir(m.Path("below"), 0o755), os.Mkdir(m.Path("above"), 0o755)); err != nil {
				return err
			}
			dir, err := os.Open(m.Path("below"))
			if err != nil {
				return err
			}
			defer dir.Close()
			if err := syscall.Rename(m.Path("above"), m.Path("below")); err != nil {
				return err
			}
			_, err = dir.Stat()
			return err
		}, syscall.ESTALE},
		{"directory in the place of a file", func() error { return os.Rename(m.Path("full"), m.Path("file")) }, syscall.ENOTDIR},
	} {
		t.Run(row.what, func(t *testing.T) {
			if err := row.do(); !errors.Is(err, row.want) {
				// os.Rename looks at the target itself and says EEXIST for directories.
				if row.want == syscall.ENOTEMPTY && errors.Is(err, syscall.EEXIST) || row.want == syscall.EISDIR && errors.Is(err, syscall.EEXIST) {
					return
				}
				t.Errorf("got %v, want %v", err, row.want)
			}
		})
	}
}

// withFile calls do with a descriptor that can be written.
func withFile(path string, do func(fd int) error) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(do(int(f.Fd())), f.Close())
}
