package cache

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

const testBlockSize = 1000

func openTestBlocks(t testing.TB, cfg BlocksConfig) *Blocks {
	t.Helper()
	if cfg.BlockSize == 0 {
		cfg.BlockSize = testBlockSize
	}
	b, err := OpenBlocks(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

func block(i int) BlockID { return BlockID{Key: "dir/key", ETag: `"etag"`, Index: int64(i)} }

// content is what the bucket holds: a block's bytes follow from its name.
func content(id BlockID) []byte {
	data := make([]byte, testBlockSize-id.Index%7)
	text := fmt.Sprintf("%q %q %d.", id.Key, id.ETag, id.Index)
	for i := range data {
		data[i] = text[i%len(text)]
	}
	return data
}

func fillOf(id BlockID) func(context.Context) ([]byte, error) {
	return func(context.Context) ([]byte, error) { return content(id), nil }
}

var errAsked = errors.New("asked the bucket")

func noFill(context.Context) ([]byte, error) { return nil, errAsked }

func wantBlock(t testing.TB, b *Blocks, id BlockID, fill func(context.Context) ([]byte, error)) {
	t.Helper()
	p := make([]byte, testBlockSize+1)
	n, err := b.ReadAt(t.Context(), id, p, 0, fill)
	if err != nil || !bytes.Equal(p[:n], content(id)) {
		t.Errorf("ReadAt of %v: %v; %d bytes, want %d that fit", id, err, n, len(content(id)))
	}
}

func TestReadAtFillsOnce(t *testing.T) {
	b := openTestBlocks(t, BlocksConfig{Memory: 1 << 20})
	wantBlock(t, b, block(1), fillOf(block(1)))
	wantBlock(t, b, block(1), noFill)
	if s := b.Stats(); s.Hits != 1 || s.Misses != 1 || s.MemoryBlocks != 1 {
		t.Errorf("Stats = %+v, want one hit, one miss, one block", s)
	}
	if !b.Has(block(1)) || b.Has(block(2)) {
		t.Errorf("Has = %v, %v, want true, false", b.Has(block(1)), b.Has(block(2)))
	}
}

func TestReadAtIsShortOnlyAtTheEnd(t *testing.T) {
	b := openTestBlocks(t, BlocksConfig{Memory: 1 << 20})
	b.Put(block(0), []byte("0123456789"))
	for _, test := range []struct {
		off  int64
		size int
		want string
	}{{0, 4, "0123"}, {4, 4, "4567"}, {8, 4, "89"}, {9, 1, "9"}, {10, 4, ""}, {testBlockSize, 4, ""}, {3, 0, ""}} {
		p := make([]byte, test.size)
		n, err := b.ReadAt(t.Context(), block(0), p, test.off, noFill)
		if err != nil || string(p[:n]) != test.want {
			t.Errorf("ReadAt(%d bytes at %d) = %q, %v, want %q", test.size, test.off, p[:n], err, test.want)
		}
	}
	for _, off := range []int64{-1, testBlockSize + 1} {
		if _, err := b.ReadAt(t.Context(), block(0), make([]byte, 1), off, noFill); err == nil {
			t.Errorf("ReadAt at %d succeeded", off)
		}
	}
}

func TestFailedFillIsNotRemembered(t *testing.T) {
	b := openTestBlocks(t, BlocksConfig{Memory: 1 << 20})
	fail := func(context.Context) ([]byte, error) { return nil, io.ErrUnexpectedEOF }
	if _, err := b.ReadAt(t.Context(), block(1), make([]byte, 1), 0, fail); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("error = %v, want the fill's", err)
	}
	long := func(context.Context) ([]byte, error) { return make([]byte, testBlockSize+1), nil }
	if _, err := b.ReadAt(t.Context(), block(1), make([]byte, 1), 0, long); err == nil {
		t.Error("a block longer than the block size was accepted")
	}
	wantBlock(t, b, block(1), fillOf(block(1)))
}

func TestPutCopies(t *testing.T) {
	b := openTestBlocks(t, BlocksConfig{Memory: 1 << 20})
	data := content(block(1))
	b.Put(block(1), data)
	clear(data)
	wantBlock(t, b, block(1), noFill)
	b.Put(block(2), make([]byte, testBlockSize+1))
	if b.Has(block(2)) {
		t.Error("a block longer than the block size was stored")
	}
}

func TestMemoryIsBoundedAndKeepsWhatIsUsed(t *testing.T) {
	const room = 10
	b := openTestBlocks(t, BlocksConfig{Memory: room * (testBlockSize + 24 + blockWeight + 64)})
	for i := range 100 {
		wantBlock(t, b, block(i), fillOf(block(i)))
		wantBlock(t, b, block(0), noFill)
		if s := b.Stats(); s.MemoryBytes > b.cfg.Memory {
			t.Fatalf("%d bytes in memory, want at most %d", s.MemoryBytes, b.cfg.Memory)
		}
	}
	if s := b.Stats(); s.MemoryBlocks != room {
		t.Errorf("%d blocks in memory, want %d", s.MemoryBlocks, room)
	}
	wantBlock(t, b, block(99), noFill)
	if b.Has(block(98 - room)) {
		t.Error("a block used long ago is still held")
	}
}

func TestWithoutMemoryNothingIsHeld(t *testing.T) {
	b := openTestBlocks(t, BlocksConfig{})
	b.Put(block(1), content(block(1)))
	wantBlock(t, b, block(1), fillOf(block(1)))
	if b.Has(block(1)) {
		t.Error("a block is held")
	}
}

func TestDropForgetsAllVersionsOfAKey(t *testing.T) {
	b := openTestBlocks(t, BlocksConfig{Memory: 1 << 20})
	gone := []BlockID{{"k", "1", 0}, {"k", "1", 1}, {"k", "2", 0}}
	kept := []BlockID{{"k2", "1", 0}, {"", "1", 0}}
	for _, id := range append(gone, kept...) {
		b.Put(id, content(id))
	}
	b.Drop("k")
	b.Drop("none")
	for _, id := range gone {
		if b.Has(id) {
			t.Errorf("%v is still held", id)
		}
	}
	for _, id := range kept {
		wantBlock(t, b, id, noFill)
	}
}

func TestOneFillHoweverManyAsk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := openTestBlocks(t, BlocksConfig{Memory: 1 << 20})
		var fills atomic.Int32
		slow := func(context.Context) ([]byte, error) {
			fills.Add(1)
			time.Sleep(time.Second)
			return content(block(1)), nil
		}
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() { wantBlock(t, b, block(1), slow) })
		}
		wg.Wait()
		if fills.Load() != 1 {
			t.Errorf("%d fills, want 1", fills.Load())
		}
	})
}

func TestFillOutlivesTheCallerWhoStartedIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := openTestBlocks(t, BlocksConfig{Memory: 1 << 20})
		slow := func(ctx context.Context) ([]byte, error) {
			select {
			case <-ctx.Done():
				return nil, ctx.Err()
			case <-time.After(time.Minute):
				return content(block(1)), nil
			}
		}
		first, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var wg sync.WaitGroup
		wg.Go(func() {
			start := time.Now()
			if _, err := b.ReadAt(first, block(1), nil, 0, slow); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("the first caller got %v, want its own timeout", err)
			}
			if d := time.Since(start); d != time.Second {
				t.Errorf("the first caller waited %v, want 1s", d)
			}
		})
		synctest.Wait()
		wantBlock(t, b, block(1), noFill)
		wg.Wait()
	})
}

func TestFillEndsWhenNobodyWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := openTestBlocks(t, BlocksConfig{Memory: 1 << 20})
		ended := make(chan struct{})
		stubborn := func(ctx context.Context) ([]byte, error) {
			<-ctx.Done()
			close(ended)
			time.Sleep(time.Second) // it takes its time to notice
			return nil, ctx.Err()
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		if _, err := b.ReadAt(ctx, block(1), nil, 0, stubborn); !errors.Is(err, context.Canceled) {
			t.Errorf("error = %v, want canceled", err)
		}
		<-ended
		var wg sync.WaitGroup
		wg.Go(func() { // does not join the dying fill, and outlives it
			wantBlock(t, b, block(1), func(context.Context) ([]byte, error) {
				time.Sleep(time.Minute)
				return content(block(1)), nil
			})
		})
		time.Sleep(2 * time.Second)
		wantBlock(t, b, block(1), noFill) // joins the second
		wg.Wait()
	})
}

func TestCloseEndsFillsAndWaitsForThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := openTestBlocks(t, BlocksConfig{Memory: 1 << 20})
		var over atomic.Bool
		wait := func(ctx context.Context) ([]byte, error) {
			<-ctx.Done()
			time.Sleep(time.Second)
			over.Store(true)
			return nil, ctx.Err()
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := b.ReadAt(t.Context(), block(1), nil, 0, wait); err == nil {
				t.Error("a read succeeded that Close ended")
			}
		})
		synctest.Wait()
		if err := b.Close(); err != nil {
			t.Error(err)
		}
		if !over.Load() {
			t.Error("Close did not wait for the fill")
		}
		wg.Wait()
		if _, err := b.ReadAt(t.Context(), block(2), nil, 0, noFill); !errors.Is(err, ErrClosed) {
			t.Errorf("reading after Close: %v, want ErrClosed", err)
		}
	})
}

func TestConfigIsChecked(t *testing.T) {
	for _, cfg := range []BlocksConfig{
		{},
		{BlockSize: -1},
		{BlockSize: 1, Memory: -1},
		{BlockSize: 1, Dir: "x"},
		{BlockSize: 1, Scope: string(make([]byte, maxNameLength+1))},
	} {
		if _, err := OpenBlocks(cfg); err == nil {
			t.Errorf("OpenBlocks(%+v) succeeded", cfg)
		}
	}
}

// dropAnything reads random blocks from several goroutines while others drop,
// put and ask, and checks every answer.
func dropAnything(t *testing.T, b *Blocks, rounds int) {
	t.Helper()
	random := func(r *rand.Rand) BlockID {
		return BlockID{Key: fmt.Sprintf("key%d", r.IntN(5)), ETag: fmt.Sprint(r.IntN(2)), Index: r.Int64N(10)}
	}
	var wg sync.WaitGroup
	for seed := range uint64(4) {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(seed, 1))
			for range rounds {
				id := random(r)
				switch r.IntN(8) {
				case 0: // gives up at once; may still be answered
					ctx, cancel := context.WithCancel(t.Context())
					cancel()
					if _, err := b.ReadAt(ctx, id, nil, 0, fillOf(id)); err != nil && !errors.Is(err, context.Canceled) {
						t.Error(err)
					}
				case 1: // another's fill, the memory or the disk may answer
					p := make([]byte, testBlockSize)
					if n, err := b.ReadAt(t.Context(), id, p, 0, noFill); err == nil && !bytes.Equal(p[:n], content(id)) {
						t.Errorf("wrong bytes of %v", id)
					}
				default:
					wantSoon(t, b, id)
				}
			}
		})
		wg.Go(func() {
			r := rand.New(rand.NewPCG(seed, 2))
			for range rounds {
				id := random(r)
				switch r.IntN(4) {
				case 0:
					b.Drop(id.Key)
				case 1:
					b.Put(id, content(id))
				case 2:
					b.Has(id)
				case 3:
					b.Stats()
				}
			}
		})
	}
	wg.Wait()
}

// wantSoon reads a block whose fill may be another caller's that fails.
func wantSoon(t *testing.T, b *Blocks, id BlockID) {
	t.Helper()
	p := make([]byte, testBlockSize)
	for {
		n, err := b.ReadAt(t.Context(), id, p, 0, fillOf(id))
		if errors.Is(err, errAsked) {
			continue
		}
		if err != nil || !bytes.Equal(p[:n], content(id)) {
			t.Errorf("ReadAt of %v: %v, or wrong bytes", id, err)
		}
		return
	}
}

func TestDroppingAnythingAtAnyMomentChangesNoAnswer(t *testing.T) {
	t.Run("memory", func(t *testing.T) {
		dropAnything(t, openTestBlocks(t, BlocksConfig{Memory: 20_000}), 1000)
	})
	t.Run("nothing", func(t *testing.T) {
		dropAnything(t, openTestBlocks(t, BlocksConfig{}), 200)
	})
	t.Run("disk", func(t *testing.T) {
		cfg := BlocksConfig{Dir: t.TempDir(), MaxDisk: 30 * allocationUnit}
		for range 3 { // restarts
			b := openTestBlocks(t, cfg)
			dropAnything(t, b, 100)
			if err := b.Close(); err != nil {
				t.Error(err)
			}
		}
	})
	t.Run("both", func(t *testing.T) {
		dropAnything(t, openTestBlocks(t, BlocksConfig{Memory: 20_000, Dir: t.TempDir(), MaxDisk: 30 * allocationUnit}), 200)
	})
}

func TestBlocksBytesMatchTheHeap(t *testing.T) {
	for size, max := range map[int]int64{100: 8 << 20, 4096: 16 << 20, 128 << 10: 32 << 20} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			before := heapInUse()
			b := openTestBlocks(t, BlocksConfig{BlockSize: 1 << 20, Memory: max})
			for i := range 2 * max / int64(size+blockWeight) {
				b.Put(BlockID{Key: fmt.Sprintf("some/directory/file-%06d", i), ETag: fmt.Sprintf("%032x", i)}, make([]byte, size))
			}
			s := b.Stats()
			used := heapInUse() - before
			t.Logf("estimated %d, measured %d", s.MemoryBytes, used)
			if s.MemoryBytes > max || s.MemoryBytes < max*9/10 || used > s.MemoryBytes*11/10 || used < s.MemoryBytes/2 {
				t.Errorf("estimated %d, measured %d, allowed %d", s.MemoryBytes, used, max)
			}
		})
	}
}
