package faults

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cgs3fs/cgs3fs/tests/harness"
)

// Of two mounts that create the same name exclusively, one wins and the other
// gets EEXIST, at open or when its content would have to be saved; what the
// winner wrote is the object.
func TestExclusiveCreateHasOneWinner(t *testing.T) {
	s := harness.NewServer(t)
	client := s.Bucket(t)
	mounts := []*harness.Mount{s.Mount(t, client.Bucket, "--exclusive-at-open"), s.Mount(t, client.Bucket, "--exclusive-at-open")}
	for round := range 60 {
		name := fmt.Sprintf("lock%d", round)
		var winner atomic.Int32
		winner.Store(-1)
		var wins, refusals atomic.Int32
		var group sync.WaitGroup
		for i, m := range mounts {
			group.Go(func() {
				switch err := createExclusively(m.Path(name), []byte(fmt.Sprint(i))); {
				case err == nil:
					wins.Add(1)
					winner.Store(int32(i))
				case errors.Is(err, syscall.EEXIST):
					refusals.Add(1)
				default:
					t.Errorf("round %d, mount %d: %v", round, i, err)
				}
			})
		}
		group.Wait()
		if wins.Load() != 1 || refusals.Load() != 1 {
			t.Fatalf("round %d: %d winners and %d refusals", round, wins.Load(), refusals.Load())
		}
		if got := string(client.Get(t, name)); got != fmt.Sprint(winner.Load()) {
			t.Fatalf("round %d: mount %d won, and the object holds %q", round, winner.Load(), got)
		}
	}
}

func createExclusively(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Close())
}

// Somebody else replaces an object while it is edited in place: theirs stays,
// the editor gets ESTALE, and the edit is kept.
func TestInPlaceEditNeverOverwritesAnotherVersion(t *testing.T) {
	s := harness.NewServer(t)
	client := s.Bucket(t)
	m := s.MountWith(t, client.Bucket, harness.MountOptions{Unsaved: true})
	for _, size := range []int{100, 30 << 20} {
		client.Put(t, "file", harness.Noise(1, size))
		f, err := os.OpenFile(m.Path("file"), os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt([]byte("ours"), 10); err != nil {
			t.Fatal(err)
		}
		theirs := harness.Noise(2, size)
		client.Put(t, "file", theirs)
		if err := f.Close(); !errors.Is(err, syscall.ESTALE) {
			t.Errorf("%d bytes: close after another's change: %v, want ESTALE", size, err)
		}
		if got := client.Get(t, "file"); string(got) != string(theirs) {
			t.Errorf("%d bytes: the other's content was overwritten", size)
		}
	}
}

// Reads through one open file never mix two versions of the object.
func TestOpenFileReadsOneVersion(t *testing.T) {
	const size, versions = 12 << 20, 2
	s := harness.NewServer(t)
	client := s.Bucket(t)
	m := s.Mount(t, client.Bucket, "--metadata-ttl", "0")
	contents := [versions][]byte{harness.Noise(0, size), harness.Noise(1, size)}
	for round := range 20 {
		first, second := contents[round%versions], contents[(round+1)%versions]
		client.Put(t, "file", first)
		f, err := os.Open(m.Path("file"))
		if err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 256<<10)
		changed := false
		for off := 0; off < size; off += len(buf) {
			if off == len(buf)*(1+round*2) {
				client.Put(t, "file", second)
				changed = true
			}
			n, err := f.ReadAt(buf, int64(off))
			if errors.Is(err, syscall.ESTALE) && changed {
				break
			}
			if err != nil {
				t.Fatalf("round %d, at %d: %v", round, off, err)
			}
			if string(buf[:n]) != string(first[off:off+n]) {
				t.Fatalf("round %d: the bytes at %d are not those of the version that was opened", round, off)
			}
		}
		f.Close()
		if got, err := os.ReadFile(m.Path("file")); err != nil || string(got) != string(second) {
			t.Fatalf("round %d: the next open did not see the new version: %v", round, err)
		}
	}
}

// Whole replacements race: the last one wins, and it is always one of those
// that were written, whole.
func TestRacingReplacementsAreWhole(t *testing.T) {
	s := harness.NewServer(t)
	client := s.Bucket(t)
	mounts := []*harness.Mount{s.Mount(t, client.Bucket), s.Mount(t, client.Bucket)}
	for round := range 30 {
		size := []int{1000, 200_000, 17 << 20}[round%3]
		contents := map[string]bool{}
		var group sync.WaitGroup
		for i, m := range mounts {
			data := harness.Noise(uint64(round*2+i), size+i)
			contents[string(data)] = true
			group.Go(func() {
				if err := os.WriteFile(m.Path("file"), data, 0o644); err != nil {
					t.Errorf("round %d, mount %d: %v", round, i, err)
				}
			})
		}
		group.Wait()
		if got := client.Get(t, "file"); !contents[string(got)] {
			t.Fatalf("round %d: the object of %d bytes is neither of the two", round, len(got))
		}
	}
}
