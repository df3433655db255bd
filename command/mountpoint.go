package command

import (
	"bufio"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// fuseType is how a mount of this program shows in /proc/self/mountinfo.
const fuseType = "fuse.cgs3fs"

// mountEntry is one line of /proc/self/mountinfo.
type mountEntry struct {
	dir, kind, source string
	device            string // major:minor
}

// mountsAt are the mounts on a directory, the uppermost last.
func mountsAt(dir string) ([]mountEntry, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return parseMounts(f, dir)
}

// parseMounts reads the format of proc_pid_mountinfo(5).
func parseMounts(r io.Reader, dir string) ([]mountEntry, error) {
	var out []mountEntry
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		before, after, ok := strings.Cut(lines.Text(), " - ")
		head, tail := strings.Fields(before), strings.Fields(after)
		if !ok || len(head) < 5 || len(tail) < 2 {
			continue
		}
		if at := unescapeMount(head[4]); dir == "" || at == dir {
			out = append(out, mountEntry{dir: at, kind: tail[0], source: unescapeMount(tail[1]), device: head[2]})
		}
	}
	return out, lines.Err()
}

// unescapeMount undoes the \040 of spaces and the like.
func unescapeMount(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// mountpoint is the directory that a mount goes over.
type mountpoint struct {
	dir  string // absolute, without symbolic links
	made bool   // by us, and so removed by us
}

// mountpointPath is a path as the table of mounts has it: absolute and without
// symbolic links. The last name is not looked at as EvalSymlinks does, for it may
// be a mount whose program died, and that answers nothing.
func mountpointPath(arg string) (string, error) {
	dir, err := filepath.Abs(arg)
	if err != nil {
		return "", err
	}
	const links = 40 // as many as the kernel follows
	for range links {
		parent, err := filepath.EvalSymlinks(filepath.Dir(dir))
		if err != nil {
			return dir, nil // who uses it finds out what is wrong with it
		}
		dir = filepath.Join(parent, filepath.Base(dir))
		target, err := os.Readlink(dir)
		if err != nil {
			break // no symbolic link
		}
		if !filepath.IsAbs(target) {
			target = filepath.Join(parent, target)
		}
		dir = target
	}
	return dir, nil
}

// prepareMountpoint checks everything about the directory that can fail. It
// makes a missing one, and clears away a mount of ours whose program died.
func prepareMountpoint(arg string, nonEmpty bool) (mountpoint, error) {
	dir, err := mountpointPath(arg)
	if err != nil {
		return mountpoint{}, err
	}
	if err := healDead(dir); err != nil {
		return mountpoint{}, err
	}
	made := false
	st, err := os.Stat(dir)
	switch {
	case errors.Is(err, os.ErrNotExist):
		if err := os.Mkdir(dir, 0o755); err != nil {
			return mountpoint{}, fail(exitFailed, "the directory %s is not there and can't be made: %w", arg, cause(err))
		}
		made = true
	case err != nil:
		return mountpoint{}, fail(exitFailed, "%s can't be used: %w", arg, cause(err))
	case !st.IsDir():
		return mountpoint{}, fail(exitUsage, "%s is not a directory", arg).try("a bucket is mounted at a directory, such as ./bucket")
	}
	m := mountpoint{dir: dir, made: made}
	if made {
		return m, nil
	}
	return m, m.check(nonEmpty)
}

func (m mountpoint) check(nonEmpty bool) error {
	mounts, err := mountsAt(m.dir)
	if err != nil {
		return err
	}
	if n := len(mounts); n > 0 && mounts[n-1].kind == fuseType {
		return fail(exitRefused, "%s is mounted already (%s)", m.dir, mounts[n-1].source).try("cgs3fs umount %s ends that mount", shellWord(m.dir))
	}
	names, err := os.ReadDir(m.dir)
	if err != nil {
		return fail(exitFailed, "%s can't be read: %w", m.dir, cause(err))
	}
	if len(names) > 0 && !nonEmpty {
		return fail(exitRefused, "%s is not empty, and a mount would hide what is in it", m.dir).try("choose an empty directory, or add -o nonempty")
	}
	if err := unix.Access(m.dir, unix.W_OK); err != nil && os.Geteuid() != 0 {
		return fail(exitDenied, "%s is not yours to mount over: no permission to write", m.dir).try("choose a directory of your own")
	}
	return nil
}

// remove takes a directory away that prepareMountpoint made.
func (m mountpoint) remove() {
	if m.made {
		_ = os.Remove(m.dir) // not empty, or gone: then it is somebody's
	}
}

// isDead tells whether a directory is a mount whose program is gone. It asks
// statfs, which the kernel never answers from what it remembers, and a live
// mount of ours from memory. ECONNABORTED is the answer when it dies meanwhile,
// and none at all is that of a program that was stopped, which is not dead.
func isDead(dir string) bool {
	_, err := within(statusWait, func() (st unix.Statfs_t, err error) {
		return st, unix.Statfs(dir, &st)
	})
	return saysDead(err)
}

func saysDead(err error) bool {
	return errors.Is(err, syscall.ENOTCONN) || errors.Is(err, syscall.ECONNABORTED)
}

// healDead unmounts what a program of ours that died has left on a directory.
func healDead(dir string) error {
	if !isDead(dir) {
		return nil
	}
	mounts, err := mountsAt(dir)
	if err != nil {
		return err
	}
	if n := len(mounts); n == 0 || mounts[n-1].kind != fuseType {
		return fail(exitRefused, "on %s is a dead mount that is not cgs3fs's", dir).try("umount -l %s clears it", dir)
	}
	if err := detach(dir); err != nil {
		return fail(exitFailed, "a dead mount is on %s and can't be cleared: %w", dir, err).try("umount -l %s", dir)
	}
	return nil
}

// detach unmounts at once, whoever still uses it.
func detach(dir string) error {
	if os.Geteuid() == 0 {
		return unix.Unmount(dir, detachFlag)
	}
	return fusermount("-u", "-z", dir)
}

// unmount detaches a mount that nobody uses; EBUSY otherwise.
func unmount(dir string) error {
	if os.Geteuid() == 0 {
		return unix.Unmount(dir, 0)
	}
	return fusermount("-u", dir)
}

func fusermount(args ...string) error {
	name, err := fusermountPath()
	if err != nil {
		return err
	}
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil && strings.Contains(string(out), "busy") {
		return syscall.EBUSY // fusermount's exit status does not tell
	}
	if err != nil && len(out) > 0 {
		return errors.New(strings.TrimSpace(string(out)))
	}
	return err
}

func fusermountPath() (string, error) {
	for _, name := range []string{"fusermount3", "fusermount"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", fail(exitFailed, "fusermount3 is not installed, and without it only root can mount").try("install your system's fuse3 package")
}

// checkFUSE says why this machine can't mount, if it can't.
func checkFUSE(allowOther bool) error {
	f, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	switch {
	case err == nil:
		f.Close()
	case os.Getenv("VCAP_APPLICATION") != "":
		return fail(exitFailed, "inside a Cloud Foundry app there is no FUSE, so nothing can be mounted").
			try("env, cors and snapshot work here; mount from a laptop, a jump box or CI")
	case errors.Is(err, os.ErrNotExist):
		return fail(exitFailed, "this machine has no /dev/fuse, so nothing can be mounted").
			try("on a host: modprobe fuse; in a container: --device /dev/fuse --cap-add SYS_ADMIN")
	case errors.Is(err, os.ErrPermission):
		// fusermount3 is setuid root, but opens the device as its caller.
		return fail(exitDenied, "this user may not open /dev/fuse, so nothing can be mounted").
			try("ask an administrator: chmod 666 /dev/fuse, or the group that ls -l /dev/fuse shows")
	default:
		return fail(exitFailed, "/dev/fuse can't be opened: %w", cause(err))
	}
	if os.Geteuid() == 0 {
		return nil
	}
	if _, err := fusermountPath(); err != nil {
		return err
	}
	if allowOther && !userAllowOther() {
		return fail(exitDenied, "--allow-other is for root, unless /etc/fuse.conf says user_allow_other").
			try("ask an administrator to add that line")
	}
	return nil
}

func userAllowOther() bool {
	text, err := os.ReadFile("/etc/fuse.conf")
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(text)) {
		if strings.TrimSpace(line) == "user_allow_other" {
			return true
		}
	}
	return false
}

// cause is what the system said, without the path that the caller names itself.
func cause(err error) error {
	var e syscall.Errno
	if errors.As(err, &e) {
		return e
	}
	return err
}
