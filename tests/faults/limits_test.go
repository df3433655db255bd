package faults

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/cgs3fs/cgs3fs/tests/harness"
)

// With 64 descriptors, a mount still serves many files at once.
func TestFewDescriptors(t *testing.T) {
	s := harness.NewServer(t)
	client := s.Bucket(t)
	m := s.MountWith(t, client.Bucket, harness.MountOptions{Launcher: []string{"prlimit", "--nofile=64:64", "--"}})
	var g errgroup.Group
	g.SetLimit(32)
	for i := range 200 {
		g.Go(func() error {
			path, data := m.Path(fmt.Sprintf("file%d", i)), harness.Noise(uint64(i), 10_000+i*1000)
			if err := os.WriteFile(path, data, 0o644); err != nil {
				return err
			}
			f, err := os.OpenFile(path, os.O_RDWR, 0)
			if err != nil {
				return err
			}
			if _, err := f.WriteAt([]byte("patch"), 100); err != nil {
				return errors.Join(err, f.Close())
			}
			if err := f.Close(); err != nil {
				return err
			}
			copy(data[100:], "patch")
			got, err := os.ReadFile(path)
			if err == nil && string(got) != string(data) {
				err = fmt.Errorf("%s holds other bytes", path)
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
}

// A full staging disk is ENOSPC at the write that filled it. The object stays as it
// was until close, which saves what the writes before took and nothing else; with
// room again the mount goes on.
func TestFullStagingDiskIsENOSPCAtWrite(t *testing.T) {
	const size, step = 30 << 20, 1 << 20
	dir := harness.SmallDisk(t, "16m")
	s := harness.NewServer(t)
	client := s.Bucket(t)
	want := harness.Noise(1, size)
	client.Put(t, "big", want)
	m := s.Mount(t, client.Bucket, "--stage-dir", filepath.Join(dir, "stage"), "--memory-limit", "64M")
	f, err := os.OpenFile(m.Path("big"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	before := client.Head(t, "big")
	// Edits of an object that is there can only be kept on the disk.
	var full error
	taken := 0
	for off := 0; off < size && full == nil; off += step {
		var n int
		n, full = f.WriteAt(harness.Noise(2, step), int64(off))
		taken += copy(want[off:], harness.Noise(2, step)[:n])
	}
	if !errors.Is(full, syscall.ENOSPC) {
		t.Errorf("writing %d MiB with a staging disk of 16: %v after %d MiB, want ENOSPC", size>>20, full, taken>>20)
	}
	if taken == 0 {
		t.Error("no write was taken: the disk was full before")
	}
	if after := client.Head(t, "big"); *after.ETag != *before.ETag {
		t.Error("the object changed before close")
	}
	if err := f.Close(); err != nil {
		t.Errorf("closing after %d MiB were taken: %v", taken>>20, err)
	}
	if got := client.Get(t, "big"); string(got) != string(want) {
		t.Errorf("the object of %d bytes is not the old one with the %d that the writes took", len(got), taken)
	}
	edit(t, m.Path("big"), want, size/2, harness.Noise(3, 8<<20))
	if got := client.Get(t, "big"); string(got) != string(want) {
		t.Error("an edit with room again is not what the object holds")
	}
}

// edit writes data into a file at off, and into want, which the file then holds.
func edit(t *testing.T, path string, want []byte, off int, data []byte) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	copy(want[off:], data)
	if _, err := f.WriteAt(data, int64(off)); err != nil {
		t.Errorf("writing: %v", err)
	}
	if err := f.Close(); err != nil {
		t.Errorf("closing: %v", err)
	}
}

// A full cache directory costs speed, never an answer.
func TestFullCacheDiskIsNoError(t *testing.T) {
	dir := harness.SmallDisk(t, "4m")
	s := harness.NewServer(t)
	client := s.Bucket(t)
	for i := range 5 {
		client.Put(t, fmt.Sprintf("file%d", i), harness.Noise(uint64(i), 5<<20))
	}
	m := s.Mount(t, client.Bucket, "--cache", filepath.Join(dir, "cache"), "--max-cache-size", "1G")
	for i := range 5 {
		name := fmt.Sprintf("file%d", i)
		for range 2 {
			got, err := os.ReadFile(m.Path(name))
			if err != nil || string(got) != string(harness.Noise(uint64(i), 5<<20)) {
				t.Fatalf("%s: %v", name, err)
			}
		}
	}
}

func raiseDescriptors(t *testing.T, n uint64) {
	t.Helper()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if limit.Cur >= n {
		return
	}
	limit.Cur, limit.Max = n, max(n, limit.Max)
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Skipf("%d descriptors are not to be had here: %v", n, err)
	}
}
