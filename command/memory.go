package command

import (
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
)

// defaultMemory is the budget of a mount where nobody says otherwise. It
// reaches the full speed of a 10 Gbit/s line at 25 ms.
const defaultMemory = 256 << 20

// minMemory is what a mount needs to make progress at all.
const minMemory = 48 << 20

// budgets divide a mount's memory: most of it moves bytes, and the rest is for
// names, re-read blocks, the kernel's requests and the Go runtime.
type budgets struct {
	total, transfer, names, blocks int64
}

func divide(total int64) budgets {
	return budgets{total: total, transfer: total / 2, names: total / 8, blocks: total / 16}
}

// memoryLimit is the budget for a wish: never more than half of what the
// container may use, if there is such a limit.
func memoryLimit(wish int64) int64 {
	if wish == 0 {
		wish = defaultMemory
		if limit := cgroupLimit(os.ReadFile); limit > 0 {
			wish = min(wish, limit/2)
		}
	}
	return max(wish, minMemory)
}

// apply keeps the Go runtime to what transfers leave: their buffers are not on
// its heap. Far below that limit it need not collect often.
func (b budgets) apply() {
	debug.SetMemoryLimit(b.total - b.transfer)
	debug.SetGCPercent(100)
}

// cgroupLimit is the memory limit of the process's control group, of version 2
// or 1, or of a group around it; 0 if there is none.
func cgroupLimit(read func(string) ([]byte, error)) int64 {
	// A container may show its own group as the root.
	files := []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"}
	text, _ := read("/proc/self/cgroup")
	for line := range strings.Lines(string(text)) {
		_, rest, _ := strings.Cut(strings.TrimSpace(line), ":")
		controllers, group, _ := strings.Cut(rest, ":")
		for ; len(group) > 1; group = filepath.Dir(group) {
			switch controllers {
			case "":
				files = append(files, filepath.Join("/sys/fs/cgroup", group, "memory.max"))
			case "memory":
				files = append(files, filepath.Join("/sys/fs/cgroup/memory", group, "memory.limit_in_bytes"))
			}
		}
	}
	lowest := int64(0)
	for _, file := range files {
		text, err := read(file)
		if err != nil {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
		if err == nil && n > 0 && n < 1<<60 && (lowest == 0 || n < lowest) {
			lowest = n
		}
	}
	return lowest
}
