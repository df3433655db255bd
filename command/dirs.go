package command

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// stateDir is where what must outlive a run is kept: recovery files, uploads
// under way, logs. Root's is one place, whatever HOME is: a mount at boot has none,
// and who looks later for what it could not save has.
func stateDir() (string, error) {
	if dir := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "cgs3fs"), nil
	}
	if os.Geteuid() == 0 {
		return "/var/lib/cgs3fs", nil
	}
	if home, err := os.UserHomeDir(); err == nil && home != "/" {
		return filepath.Join(home, ".local", "state", "cgs3fs"), nil
	}
	return "", fail(exitFailed, "no place for state: neither HOME nor XDG_STATE_HOME is set")
}

// cacheDir is where what may vanish is kept: bytes on their way.
func cacheDir() (string, error) {
	if os.Geteuid() == 0 && !filepath.IsAbs(os.Getenv("XDG_CACHE_HOME")) {
		return "/var/cache/cgs3fs", nil
	}
	if dir, err := os.UserCacheDir(); err == nil {
		return filepath.Join(dir, "cgs3fs"), nil
	}
	return "", fail(exitFailed, "no place for a cache: neither HOME nor XDG_CACHE_HOME is set")
}

// privateDir makes a directory that only its owner may enter, and refuses one
// that somebody else could have prepared.
func privateDir(parts ...string) (string, error) {
	dir := filepath.Join(parts...)
	if err := trusted(dir); err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	if err := trusted(dir); err != nil { // somebody may have been quicker
		return "", err
	}
	st, err := os.Lstat(dir)
	if err != nil {
		return "", err
	}
	owner, ok := st.Sys().(*syscall.Stat_t)
	switch {
	case st.Mode()&os.ModeSymlink != 0:
		return "", fail(exitRefused, "%s is not a directory of its own but a link", dir).try("remove it, or name another place")
	case ok && int(owner.Uid) != os.Geteuid():
		return "", fail(exitRefused, "%s belongs to somebody else (uid %d)", dir, owner.Uid).try("name another place")
	case st.Mode().Perm()&0o077 != 0:
		if err := os.Chmod(dir, 0o700); err != nil {
			return "", fmt.Errorf("making %s private: %w", dir, err)
		}
	}
	return dir, nil
}
