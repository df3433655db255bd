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

// A full staging disk is ENOSPC at the write that filled it; what was there
// before stays as it was, and with room again the mount goes on.
func TestFullStagingDiskIsENOSPCAtWrite(t *testing.T) {
	dir := harness.SmallDisk(t, "16m")
	s := harness.NewServer(t)
	client := s.Bucket(t)
	old := harness.Noise(1, 60<<20)
	client.Put(t, "big", old)
	m := s.MountWith(t, client.Bucket, harness.MountOptions{
		Flags: []string{"--stage-dir", filepath.Join(dir, "stage"), "--memory-limit", "64M"}, Unsaved: true,
	})
	f, err := os.OpenFile(m.Path("big"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	var full error
	// Scattered writes over an existing object can only be kept on the disk.
	for off := int64(0); off < 60<<20 && full == nil; off += 1 << 20 {
		_, full = f.WriteAt(harness.Noise(2, 1<<20), off)
	}
	closed := f.Close()
	if full == nil && closed == nil {
		got := client.Get(t, "big")
		if string(got[:1<<20]) != string(harness.Noise(2, 1<<20)) {
			t.Error("every write succeeded, and the object lacks them")
		}
		t.Log("the edits fitted without the disk")
	} else if full != nil && !errors.Is(full, syscall.ENOSPC) {
		t.Errorf("the write that filled the disk: %v, want ENOSPC", full)
	} else if full == nil {
		t.Errorf("close failed with %v though every write succeeded", closed)
	}
	if err := os.WriteFile(m.Path("afterwards"), []byte("x"), 0o644); err != nil {
		t.Errorf("afterwards: %v", err)
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
