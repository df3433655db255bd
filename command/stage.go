package command

import (
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// stageDir is a directory for the bytes of one mount that memory can't hold. A
// lock on it says that its mount lives; those of dead mounts are removed, since
// what is in them was never acknowledged to any program.
type stageDir struct {
	path string
	lock *os.File
}

// openStage makes a staging directory under the named one, or under the user's
// cache directory.
func openStage(under string) (*stageDir, error) {
	if under == "" {
		cache, err := cacheDir()
		if err != nil {
			return nil, err
		}
		under = filepath.Join(cache, "stage")
	}
	under, err := filepath.Abs(under)
	if err != nil {
		return nil, err
	}
	if under, err = privateDir(under); err != nil {
		return nil, fail(statusOf(err), "the staging directory can't be used: %w", err).try("name another with --stage-dir")
	}
	making, err := os.Open(under)
	if err != nil {
		return nil, err
	}
	defer making.Close()
	if err := unix.Flock(int(making.Fd()), unix.LOCK_EX); err != nil { // until the new one is locked
		return nil, err
	}
	removeDeadStages(under)
	path, err := os.MkdirTemp(under, "mount-")
	if err != nil {
		return nil, fail(exitFailed, "the staging directory can't be used: %w", err).try("name another with --stage-dir")
	}
	lock, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		lock.Close()
		return nil, err
	}
	return &stageDir{path, lock}, nil
}

func removeDeadStages(under string) {
	dirs, _ := filepath.Glob(filepath.Join(under, "mount-*"))
	for _, dir := range dirs {
		f, err := os.OpenFile(dir, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_DIRECTORY, 0)
		if err != nil {
			continue
		}
		if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
			_ = os.RemoveAll(dir) // what stays is tried again at the next mount
		}
		f.Close()
	}
}

func (s *stageDir) close() error {
	return errors.Join(os.RemoveAll(s.path), s.lock.Close())
}
