package transfer

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/cgs3fs/cgs3fs/cache"
	"github.com/cgs3fs/cgs3fs/s3"
	"github.com/cgs3fs/cgs3fs/s3/s3test"
)

// cachedEngine returns an engine with a block cache.
func cachedEngine(t *testing.T, b s3.Bucket, cfg cache.BlocksConfig) *Engine {
	t.Helper()
	blocks, err := cache.OpenBlocks(cfg)
	if err != nil {
		t.Fatal(err)
	}
	e, err := New(b, blocks, Config{StageDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(e.Close(), blocks.Close()); err != nil {
			t.Error(err)
		}
	})
	return e
}

// readRandomly reads n times 4 KiB somewhere and checks them.
func readRandomly(t *testing.T, r *Reader, want []byte, n int) {
	t.Helper()
	rnd := rand.New(rand.NewPCG(1, 2))
	p := make([]byte, 4096)
	for range n {
		off := 4096 * rnd.Int64N(int64(len(want))/4096)
		if _, err := r.ReadAt(context.Background(), p, off); err != nil || !bytes.Equal(p, want[off:off+4096]) {
			t.Fatalf("reading at %d: %v", off, err)
		}
	}
}

func TestRandomReadsOfACachedObjectStopAsking(t *testing.T) {
	b, mem := bucket()
	e := cachedEngine(t, b, cache.BlocksConfig{BlockSize: 64 << 10, Memory: 64 << 20})
	want := noise(32<<20, 1)
	info := mem.PutBytes("a", want)
	r := e.NewReader(info.Object)
	defer r.Close()
	readRandomly(t, r, want, 2000)
	if n := b.Calls()[s3.OpGet]; n > 150 {
		t.Errorf("%d requests for 2000 random reads of 512 blocks", n)
	}
	b.Reset()
	readRandomly(t, r, want, 2000)
	if n := b.Calls()[s3.OpGet]; n > 5 {
		t.Errorf("%d requests when everything was read before", n)
	}
}

func TestRandomReadsBeyondTheCacheFetchOneBlockEach(t *testing.T) {
	b, mem := bucket()
	e := cachedEngine(t, b, cache.BlocksConfig{BlockSize: 64 << 10, Memory: 2 << 20})
	want := noise(32<<20, 1)
	info := mem.PutBytes("a", want)
	r := e.NewReader(info.Object)
	defer r.Close()
	readRandomly(t, r, want, 500)
	if got, most := r.sweep.fetched, int64(500*64<<10+10<<20); got > most {
		t.Errorf("%d bytes were fetched, want at most %d", got, most)
	}
}

func TestSweepSeesThatTheCacheForgets(t *testing.T) {
	var s sweep
	const size, block = 64 << 20, 64 << 10
	for range 1000 { // all reads miss, though all would fit
		s.read()
		s.miss(5, 5, size, block, size)
	}
	if _, n := s.miss(5, 5, size, block, size); n != 1 {
		t.Errorf("after 1000 misses, one more brings %d blocks", n)
	}
}

func TestReadAcrossBlocksIsOneRequest(t *testing.T) {
	b, mem := bucket()
	e := cachedEngine(t, b, cache.BlocksConfig{BlockSize: 64 << 10, Memory: 4 << 20})
	want := noise(8<<20, 1)
	info := mem.PutBytes("a", want)
	r := e.NewReader(info.Object)
	defer r.Close()
	p := make([]byte, 500_000)
	for range 2 {
		if _, err := r.ReadAt(bg, p, 5_000_000); err != nil || !bytes.Equal(p, want[5_000_000:5_500_000]) {
			t.Fatal(err)
		}
	}
	if n := b.Calls()[s3.OpGet]; n != 1 {
		t.Errorf("%d requests for one read, repeated", n)
	}
}

func TestVersionsDoNotShareBlocks(t *testing.T) {
	b, mem := bucket()
	e := cachedEngine(t, b, cache.BlocksConfig{BlockSize: 64 << 10, Memory: 64 << 20})
	for v := range uint64(2) {
		want := noise(8<<20, v)
		info := mem.PutBytes("a", want)
		r := e.NewReader(info.Object)
		readRandomly(t, r, want, 300)
		r.Close()
	}
}

func TestSequentialReadsFillTheDiskCache(t *testing.T) {
	b, mem := bucket()
	e := cachedEngine(t, b, cache.BlocksConfig{BlockSize: 128 << 10, Memory: 1 << 20, Dir: t.TempDir() + "/c", MaxDisk: 64 << 20})
	want := noise(5<<20+100, 1)
	info := mem.PutBytes("a", want)
	// The queue to the disk drops what it cannot take: read until all is there.
	for try := 0; ; try++ {
		r := e.NewReader(info.Object)
		if got := readAll(t, r, 128<<10); !bytes.Equal(got, want) {
			t.Fatal("wrong bytes")
		}
		r.Close()
		b.Reset()
		r = e.NewReader(info.Object)
		if got := readAll(t, r, 1<<20); !bytes.Equal(got, want) {
			t.Fatal("wrong bytes from disk")
		}
		r.Close()
		if b.Calls()[s3.OpGet] == 0 {
			return
		}
		if try > 1000 {
			t.Fatalf("requests %v after %d readings", b.Calls(), try)
		}
	}
}

func TestRandomReadFailsAndCanBeTriedAgain(t *testing.T) {
	b, mem := bucket()
	want := noise(8<<20, 1)
	info := mem.PutBytes("a", want)
	for _, e := range []*Engine{
		newEngine(t, b, Config{}),
		cachedEngine(t, b, cache.BlocksConfig{BlockSize: 64 << 10, Memory: 64 << 20}),
	} {
		r := e.NewReader(info.Object)
		for i, do := range []s3test.Action{s3test.Fail, s3test.Cut, s3test.Truncate} {
			p, off := make([]byte, 4096), int64(i+1)<<20
			b.SetPlan(s3test.Plan{Rules: []s3test.Rule{{Op: s3.OpGet, Fault: s3test.Fault{Do: do, After: 1000}}}})
			if _, err := r.ReadAt(bg, p, off); err == nil {
				t.Errorf("%v: no error", do)
			}
			b.SetPlan(s3test.Plan{})
			if _, err := r.ReadAt(bg, p, off); err != nil || !bytes.Equal(p, want[off:off+4096]) {
				t.Errorf("%v, the second time: %v", do, err)
			}
		}
		b.SetPlan(s3test.Plan{Rules: []s3test.Rule{{Op: s3.OpGet, Fault: s3test.Fault{Do: s3test.Hang}}}})
		ctx, cancel := context.WithCancel(bg)
		done := make(chan error, 1)
		go func() {
			_, err := r.ReadAt(ctx, make([]byte, 10), 6<<20)
			done <- err
		}()
		cancel()
		if err := <-done; !errors.Is(err, s3.ErrCanceled) {
			t.Errorf("cancelled: %v", err)
		}
		b.SetPlan(s3test.Plan{})
		r.Close()
	}
}
