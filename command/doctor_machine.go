package command

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/dustin/go-humanize"
	"golang.org/x/sys/unix"
)

// machine looks at what mounting needs, and at what mounts have left.
func (e *examination) machine() {
	err := checkFUSE(false)
	switch {
	case err != nil && os.Getenv("VCAP_APPLICATION") != "":
		// Nothing is wrong: a container of an app never has FUSE.
		e.warn("fuse", hintOf(err), "%v", err)
	case err != nil:
		e.fail("fuse", err)
	case os.Geteuid() == 0:
		e.ok("fuse", "/dev/fuse can be opened, and root needs no fusermount3")
	default:
		path, _ := fusermountPath() // checkFUSE has found it
		e.ok("fuse", "/dev/fuse can be opened, %s mounts", path)
	}
	switch {
	case os.Geteuid() == 0:
		e.ok("allow-other", "root may let other users in with --allow-other")
	case userAllowOther():
		e.ok("allow-other", "/etc/fuse.conf has user_allow_other, so --allow-other works")
	default:
		e.skip("allow-other", "--allow-other is for root here: /etc/fuse.conf has no user_allow_other")
	}
}

// statTime is how long a mount may take to say that it is there.
const statTime = 5 * time.Second

// mounts looks for mounts whose program has died or hangs.
func (e *examination) mounts(list func() ([]liveMount, error)) {
	all, err := list()
	if err != nil {
		e.skip("mounts", "the mounts of this machine are not known: %v", err)
		return
	}
	errs := make([]error, len(all))
	var wg sync.WaitGroup
	for i, m := range all {
		wg.Go(func() {
			// Not stat, which the kernel answers from memory for a while.
			_, errs[i] = within(statTime, func() (st unix.Statfs_t, err error) {
				return st, unix.Statfs(m.dir, &st)
			})
		})
	}
	wg.Wait()
	bad := 0
	for i, m := range all {
		switch {
		case saysDead(errs[i]):
			bad++
			e.warn("mounts", "cgs3fs umount "+shellWord(m.dir), "the program behind the mount at %s has died", m.dir)
		case errors.Is(errs[i], context.DeadlineExceeded):
			bad++
			e.warn("mounts", "is its program stopped? umount -l "+shellWord(m.dir)+" gives it up", "the mount at %s does not answer", m.dir)
		}
	}
	switch {
	case len(all) == 0:
		e.ok("mounts", "nothing is mounted")
	case bad == 0:
		e.ok("mounts", "%s, each answers", plural(len(all), "mount"))
	}
}

// directories looks at the places on disk that a mount needs.
func (e *examination) directories() {
	for _, place := range []struct {
		name string
		dir  func() (string, error)
	}{{"state directory", stateDir}, {"cache directory", cacheDir}} {
		dir, err := place.dir()
		if err == nil {
			err = writable(dir)
		}
		if err != nil {
			e.fail(place.name, err)
			continue
		}
		e.space(place.name, dir)
	}
}

// lowSpace is when a disk is said to be nearly full: a large edit needs as much
// as it changes.
const lowSpace = 1 << 30

func (e *examination) space(check, dir string) {
	var st unix.Statfs_t
	if err := unix.Statfs(existing(dir), &st); err != nil {
		e.ok(check, "%s", dir)
		return
	}
	free := st.Bavail * uint64(st.Bsize)
	if free < lowSpace {
		e.warn(check, "free some space, or name another place with --stage-dir and --cache", "%s has only %s free", dir, humanize.IBytes(free))
		return
	}
	e.ok(check, "%s, %s free", dir, humanize.IBytes(free))
}

// existing is dir, or what is there of the path to it.
func existing(dir string) string {
	for {
		if _, err := os.Stat(dir); err == nil || dir == filepath.Dir(dir) {
			return dir
		}
		dir = filepath.Dir(dir)
	}
}

// writable tells whether dir is this user's own, or could be made. It makes
// nothing.
func writable(dir string) error {
	there := existing(dir)
	if err := unix.Access(there, unix.W_OK|unix.X_OK); err != nil {
		return fail(exitDenied, "%s can't be used: %s: %w", dir, there, err).try("make it writable, or set XDG_STATE_HOME and XDG_CACHE_HOME")
	}
	if there != dir {
		return nil
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	if owner, ok := info.Sys().(*syscall.Stat_t); ok && int(owner.Uid) != os.Geteuid() {
		return fail(exitRefused, "%s belongs to somebody else (uid %d)", dir, owner.Uid).try("remove it, or set XDG_STATE_HOME and XDG_CACHE_HOME")
	}
	return nil
}
