package fs

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// deviceOf is the device number of a mount, as /sys/class/bdi names it.
func deviceOf(dir string) (string, error) {
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		return "", err
	}
	return fmt.Sprintf("%d:%d", unix.Major(st.Dev), unix.Minor(st.Dev)), nil
}
