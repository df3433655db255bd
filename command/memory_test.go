package command

import (
	"os"
	"testing"
)

func TestMemoryOfTheContainerIsFound(t *testing.T) {
	for what, row := range map[string]struct {
		files map[string]string
		want  int64
	}{
		"no groups": {nil, 0},
		"version 2, as a container shows it": {map[string]string{
			"/proc/self/cgroup": "0::/\n", "/sys/fs/cgroup/memory.max": "1000\n",
		}, 1000},
		"version 2, a group around ours is smaller": {map[string]string{
			"/proc/self/cgroup": "0::/a/b\n", "/sys/fs/cgroup/a/b/memory.max": "max\n", "/sys/fs/cgroup/a/memory.max": "2000\n",
		}, 2000},
		"version 1, as a container shows it": {map[string]string{
			"/proc/self/cgroup": "4:memory:/docker/abc\n", "/sys/fs/cgroup/memory/memory.limit_in_bytes": "3000\n",
		}, 3000},
		"version 1, below the root": {map[string]string{
			"/proc/self/cgroup":                               "8:pids:/\n4:memory:/a/b\n0::/\n",
			"/sys/fs/cgroup/memory/memory.limit_in_bytes":     "9223372036854771712\n",
			"/sys/fs/cgroup/memory/a/b/memory.limit_in_bytes": "4000\n",
			"/sys/fs/cgroup/memory/a/memory.limit_in_bytes":   "9223372036854771712\n",
			"/sys/fs/cgroup/pids/a/b/memory.limit_in_bytes":   "1\n",
		}, 4000},
	} {
		got := cgroupLimit(func(path string) ([]byte, error) {
			if text, ok := row.files[path]; ok {
				return []byte(text), nil
			}
			return nil, os.ErrNotExist
		})
		if got != row.want {
			t.Errorf("%s: %d bytes, want %d", what, got, row.want)
		}
	}
}
