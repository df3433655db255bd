package mount

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"syscall"
	"testing"

	"github.com/cgs3fs/cgs3fs/tests/harness"
)

// What is written through a mapping in one mount is in the bucket after fsync or
// close, and who maps the file in the other mount afterwards sees it, also where
// older pages of it were mapped there before.
func TestMappingsThroughTwoMounts(t *testing.T) {
	const size, rounds = 1 << 20, 30
	s := harness.NewDirectServer(t)
	client := s.Bucket(t)
	want := harness.Noise(1, size)
	client.Put(t, "file", want)
	mounts := []*harness.Mount{s.Mount(t, client.Bucket), s.Mount(t, client.Bucket)}
	seed := harness.Seed(t)
	rnd := rand.New(rand.NewPCG(seed, 0))
	for round := range rounds {
		off, data := rnd.IntN(size-10_000), harness.Noise(rnd.Uint64(), 1+rnd.IntN(10_000))
		copy(want[off:], data)
		f, err := os.OpenFile(mounts[round%2].Path("file"), os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		err = withMapping(f, size, syscall.PROT_READ|syscall.PROT_WRITE, func(mem []byte) error {
			copy(mem[off:], data)
			if round%3 == 0 { // saved while it is mapped
				if err := f.Sync(); err != nil {
					return err
				}
				return differ(0, client.Get(t, "file"), want)
			}
			return nil
		})
		if err := errors.Join(err, f.Close()); err != nil {
			t.Fatalf("seed %d, round %d, writing: %v", seed, round, err)
		}
		wantEqual(t, fmt.Sprintf("seed %d, round %d: the object", seed, round), client.Get(t, "file"), want)
		for i, m := range mounts {
			f, err := os.Open(m.Path("file"))
			if err != nil {
				t.Fatal(err)
			}
			err = withMapping(f, size, syscall.PROT_READ, func(mem []byte) error { return differ(0, mem, want) })
			if err := errors.Join(err, f.Close()); err != nil {
				t.Fatalf("seed %d, round %d, reading in mount %d: %v", seed, round, i, err)
			}
		}
	}
}

// withMapping calls do with the first n bytes of a file mapped into memory.
func withMapping(f *os.File, n, prot int, do func([]byte) error) error {
	mem, err := syscall.Mmap(int(f.Fd()), 0, n, prot, syscall.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("mmap: %w", err)
	}
	return errors.Join(do(mem), syscall.Munmap(mem))
}
