package cache

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// crashDir tells a copy of the test program to store blocks in a directory until
// it is killed.
const crashDir = "CGS3FS_CACHE_CRASH_DIR"

func crashConfig(dir string) BlocksConfig {
	return BlocksConfig{BlockSize: testBlockSize, Dir: dir, MaxDisk: 50 * allocationUnit}
}

func storeUntilKilled(dir string) {
	b, err := OpenBlocks(crashConfig(dir))
	if err != nil {
		panic(err)
	}
	for i := 0; ; i++ {
		b.Put(block(i), content(block(i)))
		if b.Stats().Disk.Stored > 60 {
			os.Stdout.WriteString("full\n")
		}
	}
}

// TestKilledProcessLeavesAGoodCache kills a process that is writing blocks as
// fast as it can, again and again in one directory.
func TestKilledProcessLeavesAGoodCache(t *testing.T) {
	if dir := os.Getenv(crashDir); dir != "" {
		storeUntilKilled(dir)
	}
	dir := t.TempDir()
	for range 5 {
		killWhileStoring(t, dir)
		if n := sizeOf(t, dir); n > crashConfig(dir).MaxDisk {
			t.Errorf("%d bytes after a crash", n)
		}
		b := openTestBlocks(t, crashConfig(dir))
		for deadline := time.Now().Add(time.Minute); b.Stats().Disk.Loading; {
			if time.Now().After(deadline) {
				t.Fatal("the index is not ready after a minute")
			}
		}
		if s := b.Stats().Disk; s.Blocks == 0 || s.Damaged != 0 {
			t.Errorf("Stats = %+v, want some blocks, none damaged", s)
		}
		for i := range 1000 {
			if b.Has(block(i)) {
				wantBlock(t, b, block(i), noFill)
			}
		}
		closeBlocks(t, b)
		if left, err := filepath.Glob(dir + "/*" + tempSuffix); err != nil || len(left) != 0 {
			t.Errorf("temporary files remain: %v, %v", left, err)
		}
	}
}

func killWhileStoring(t *testing.T, dir string) {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "-test.run", "^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), crashDir+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err := cmd.Process.Kill(); err != nil {
		t.Error(err)
	}
	_ = cmd.Wait() // it was killed
	if err != nil || !strings.HasPrefix(line, "full") {
		t.Fatalf("the process that stores said %q, %v", line, err)
	}
}
