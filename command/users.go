package command

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// usersNamed is how many of those who use a mount are named.
const usersNamed = 5

// usersOf names what keeps a mount in use, as far as this user may see: other
// mounts below it, and programs with their process ids. It reads links of /proc
// only, which asks the mount nothing.
func usersOf(dir string) []string {
	within := func(path string) bool { return path == dir || strings.HasPrefix(path, dir+"/") }
	var users []string
	mounts, _ := mountsAt("")
	for _, m := range mounts {
		if m.dir != dir && within(m.dir) {
			users = append(users, "the mount at "+m.dir)
		}
	}
	processes, _ := filepath.Glob("/proc/[0-9]*")
	for _, p := range processes {
		links, _ := filepath.Glob(p + "/fd/*")
		links = append(links, p+"/cwd", p+"/root", p+"/exe")
		if slices.ContainsFunc(links, func(link string) bool { to, err := os.Readlink(link); return err == nil && within(to) }) {
			name, _ := os.ReadFile(p + "/comm")
			users = append(users, fmt.Sprintf("%s (%s)", strings.TrimSpace(string(name)), filepath.Base(p)))
		}
	}
	if len(users) > usersNamed {
		users = append(users[:usersNamed], "…")
	}
	return users
}

// inUse is the error of a mount that can't be undone because it is in use: by
// programs that have something of it, or by such as wait for the server.
func inUse(m liveMount) error {
	dir := m.dir
	e := fail(exitFailed, "%s is in use", dir)
	if users := usersOf(dir); len(users) > 0 {
		e = fail(exitFailed, "%s is in use by %s", dir, strings.Join(users, ", "))
	}
	if s, err := m.status(); err == nil && s.More.Trouble != (troubleReport{}) {
		e.err = fmt.Errorf("%w (%s)", e.err, s.More.Trouble)
	}
	return e.try("leave it and try again; --lazy detaches it all the same")
}
