package command

import (
	"testing"

	"github.com/cgs3fs/cgs3fs/cache"
)

func TestCacheIsToldInOneLine(t *testing.T) {
	for _, row := range []struct {
		stats cache.BlocksStats
		want  string
	}{
		{cache.BlocksStats{}, "0 B in memory, 0 hits, 0 misses"},
		{cache.BlocksStats{Hits: 3, Misses: 2, MemoryBytes: 2 << 20}, "2.0 MiB in memory, 3 hits, 2 misses"},
		{cache.BlocksStats{Disk: cache.DiskStats{Bytes: 1 << 20, Max: 1 << 30, Hits: 7}}, "0 B in memory, 0 hits, 0 misses; 1.0 MiB of 1.0 GiB on disk, 7 hits"},
		{cache.BlocksStats{Disk: cache.DiskStats{Max: 1 << 30, Aside: true}}, "0 B in memory, 0 hits, 0 misses; 0 B of 1.0 GiB on disk, 0 hits, which can't be written now"},
	} {
		if got := cached(row.stats); got != row.want {
			t.Errorf("%+v: got %q, want %q", row.stats, got, row.want)
		}
	}
}
