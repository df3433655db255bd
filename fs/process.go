package fs

import (
	"bytes"
	"os"
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
