package command

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
)

// trusted refuses a path that another user could lead elsewhere, now or while
// we use it: one below a directory in which everybody may rename what is
// everybody's, or, where a sticky bit forbids that, below something that another
// user has put there first. What does not exist yet is not looked at.
func trusted(path string) error {
	there := path
	for {
		_, err := os.Lstat(there)
		if !errors.Is(err, os.ErrNotExist) {
			break
		}
		there = filepath.Dir(there)
	}
	if err := trustedParents(there); err != nil {
		return err
	}
	real, err := filepath.EvalSymlinks(there)
	if err != nil || real == there {
		return nil // a link to nowhere is no directory: whoever uses it says so
	}
	return trustedParents(real)
}

func trustedParents(path string) error {
	for dir := filepath.Dir(path); dir != path; path, dir = dir, filepath.Dir(dir) {
		st, err := os.Stat(dir)
		if err != nil {
			return err
		}
		if st.Mode().Perm()&0o002 == 0 {
			continue
		}
		if st.Mode()&os.ModeSticky == 0 {
			return fail(exitRefused, "everybody can write to %s, and so exchange what is in it", dir).try("chmod o-w %s, or name another place", dir)
		}
		if err := ours(path); err != nil {
			return err
		}
	}
	return nil
}

// ours refuses what belongs to neither us nor root.
func ours(path string) error {
	st, err := os.Lstat(path)
	if err != nil {
		return err
	}
	owner, ok := st.Sys().(*syscall.Stat_t)
	if ok && owner.Uid != 0 && int(owner.Uid) != os.Geteuid() {
		return fail(exitRefused, "%s belongs to somebody else (uid %d)", path, owner.Uid).try("name another place")
	}
	return nil
}
