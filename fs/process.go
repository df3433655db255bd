package fs

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
)

// processOf is the process that a thread belongs to: requests name threads.
// It is 0 where that can't be told, as for a process of another pid namespace
// or one that has ended.
func processOf(thread uint32) int32 {
	if thread == 0 {
		return 0
	}
	status, err := os.ReadFile("/proc/" + strconv.Itoa(int(thread)) + "/status")
	if err != nil {
		return 0
	}
	_, after, found := bytes.Cut(status, []byte("\nTgid:"))
	if !found {
		return 0
	}
	line, _, _ := bytes.Cut(after, []byte("\n"))
	id, err := strconv.ParseInt(string(bytes.TrimSpace(line)), 10, 32)
	if err != nil {
		return 0
	}
	return int32(id)
}

// hasOpen reports whether a thread's process has a descriptor open that leads
// to a path. It reads links only, which asks no file system. What it may not see
// does not count.
func hasOpen(thread uint32, path string) bool {
	dir := "/proc/" + strconv.Itoa(int(thread)) + "/fd"
	fds, err := os.ReadDir(dir)
	if thread == 0 || err != nil {
		return false
	}
	for _, fd := range fds {
		if to, err := os.Readlink(filepath.Join(dir, fd.Name())); err == nil && to == path {
			return true
		}
	}
	return false
}
