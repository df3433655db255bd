package cache

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Why a cache directory can't be used.
var (
	ErrDirUnsafe = errors.New("cache directory is not safe to use")
	ErrDirInUse  = errors.New("cache directory is in use")
)

const lockName = "lock"

// folder is a directory that only we write to. Each file is opened relative to
// it, and no symbolic link is ever followed.
type folder struct {
	dir  *os.File
	lock *os.File
}

// openFolder opens a directory, made if it is missing, that belongs to us, that
// nobody else can write to, and that no other process uses.
func openFolder(path string) (_ *folder, err error) {
	path = filepath.Clean(path) // a trailing slash would follow a link
	defer func() {
		if err != nil {
			err = fmt.Errorf("opening cache directory %s: %w", path, err)
		}
	}()
	dir, err := openDir(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(path, 0o700); err != nil {
			return nil, err
		}
		dir, err = openDir(path)
	}
	if err != nil {
		return nil, err
	}
	f := &folder{dir: dir}
	if f.lock, err = f.takeLock(); err != nil {
		return nil, errors.Join(err, dir.Close())
	}
	return f, nil
}

func openDir(path string) (*os.File, error) {
	dir, err := os.OpenFile(path, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		if i, lerr := os.Lstat(path); lerr == nil && !i.IsDir() {
			return nil, fmt.Errorf("%w: it is not a directory (a symbolic link is not followed)", ErrDirUnsafe)
		}
		return nil, err
	}
	var st unix.Stat_t
	err = unix.Fstat(int(dir.Fd()), &st)
	switch {
	case err != nil:
	case int(st.Uid) != os.Geteuid():
		err = fmt.Errorf("%w: it belongs to user %d", ErrDirUnsafe, st.Uid)
	case st.Mode&0o022 != 0:
		err = fmt.Errorf("%w: others can write to it (mode %o)", ErrDirUnsafe, st.Mode&0o777)
	}
	if err != nil {
		return nil, errors.Join(err, dir.Close())
	}
	return dir, nil
}

// takeLock keeps other processes out until the file is closed. It holds the
// process's number, for the message that they show.
func (f *folder) takeLock() (*os.File, error) {
	lock, err := f.open(lockName, unix.O_RDWR|unix.O_CREAT)
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		pid := make([]byte, 20)
		n, _ := lock.Read(pid)
		err = fmt.Errorf("%w by process %s", ErrDirInUse, strings.TrimSpace(string(pid[:n])))
	}
	if err == nil {
		err = lock.Truncate(0)
	}
	if err == nil {
		_, err = fmt.Fprintf(lock, "%d\n", os.Getpid())
	}
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return lock, nil
}

// open opens a file in the folder. With O_NONBLOCK a pipe in its place can't
// hold us up; on regular files it has no effect.
func (f *folder) open(name string, flags int) (*os.File, error) {
	fd, err := unix.Openat(f.fd(), name, flags|unix.O_NOFOLLOW|unix.O_CLOEXEC|unix.O_NONBLOCK, 0o600)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), name), nil
}

// read returns a file's content and when it was last marked as used. A file
// that is longer than limit, or no file at all, is errDamaged.
func (f *folder) read(name string, limit int64) (content []byte, used time.Time, err error) {
	file, err := f.open(name, unix.O_RDONLY)
	if errors.Is(err, unix.ELOOP) {
		return nil, time.Time{}, errDamaged
	}
	if err != nil {
		return nil, time.Time{}, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	info, err := file.Stat()
	if err != nil {
		return nil, time.Time{}, err
	}
	if !info.Mode().IsRegular() || info.Size() > limit {
		return nil, time.Time{}, errDamaged
	}
	content = make([]byte, info.Size())
	if _, err := io.ReadFull(file, content); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			err = errDamaged // it got shorter
		}
		return nil, time.Time{}, err
	}
	return content, info.ModTime(), nil
}

// write makes a file of the parts under a temporary name and gives it its own
// once it is whole. It leaves nothing behind when it fails.
func (f *folder) write(name, temp string, parts ...[]byte) (err error) {
	file, err := f.open(temp, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.remove(temp))
		}
	}()
	for _, p := range parts {
		if _, err := file.Write(p); err != nil {
			return errors.Join(err, file.Close())
		}
	}
	if err := file.Close(); err != nil {
		return err
	}
	if err := unix.Renameat(f.fd(), temp, f.fd(), name); err != nil {
		return &os.LinkError{Op: "rename", Old: temp, New: name, Err: err}
	}
	return nil
}

// remove removes a file; one that is not there counts as removed.
func (f *folder) remove(name string) error {
	if err := unix.Unlinkat(f.fd(), name, 0); err != nil && !errors.Is(err, unix.ENOENT) {
		return &fs.PathError{Op: "remove", Path: name, Err: err}
	}
	return nil
}

// touch marks a file as used at a time.
func (f *folder) touch(name string, at time.Time) error {
	t, err := unix.TimeToTimespec(at)
	if err != nil {
		return err
	}
	return unix.UtimesNanoAt(f.fd(), name, []unix.Timespec{t, t}, unix.AT_SYMLINK_NOFOLLOW)
}

// list returns up to n more names, and io.EOF after the last one.
func (f *folder) list(n int) ([]string, error) { return f.dir.Readdirnames(n) }

// stat tells the size and the last use of a file; one that is no regular file
// is errDamaged.
func (f *folder) stat(name string) (size int64, used time.Time, err error) {
	var st unix.Stat_t
	if err := unix.Fstatat(f.fd(), name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return 0, time.Time{}, &fs.PathError{Op: "stat", Path: name, Err: err}
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return 0, time.Time{}, errDamaged
	}
	return st.Size, time.Unix(st.Mtim.Unix()), nil
}

// close lets other processes in.
func (f *folder) close() error { return errors.Join(f.lock.Close(), f.dir.Close()) }

func (f *folder) fd() int { return int(f.dir.Fd()) }
