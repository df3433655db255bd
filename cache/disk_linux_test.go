package cache

import (
	"testing"
	"testing/synctest"

	"golang.org/x/sys/unix"
)

// On a real file system that is full, small as it is.
func TestFullTmpfs(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=32k,mode=0700"); err != nil {
		t.Skipf("mounting a tmpfs: %v", err)
	}
	defer func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	}()
	synctest.Test(t, func(t *testing.T) {
		b := openTestBlocks(t, diskConfig(dir))
		for i := range 50 {
			wantBlock(t, b, block(i), fillOf(block(i)))
			synctest.Wait()
		}
		s := b.Stats().Disk
		if s.Failures != 1 || s.Blocks == 0 || s.Bytes != sizeOf(t, dir) {
			t.Errorf("Stats = %+v with %d bytes on disk, want one failure and some blocks", s, sizeOf(t, dir))
		}
		for i := range s.Blocks {
			wantBlock(t, b, block(i), noFill)
		}
	})
}
