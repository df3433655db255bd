package fs

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// deviceOf is the device number of a mount, as /sys/class/bdi names it. It sends
// the mount no request: the process may be killed while it waits for itself.
func deviceOf(dir string) (string, error) {
	var st unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, dir, unix.AT_STATX_DONT_SYNC, 0, &st); err != nil {
		return "", err
	}
	return fmt.Sprintf("%d:%d", st.Dev_major, st.Dev_minor), nil
}
