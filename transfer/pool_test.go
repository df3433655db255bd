package transfer

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/cgs3fs/cgs3fs/s3"
)

func newTestPool(t testing.TB, limit int64) *pool {
	t.Helper()
	p, err := newPool(limit, func(int64) {})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPoolNeverLendsMemoryTwice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, err := newPool(minMemory, func(int64) {})
		if err != nil {
			t.Fatal(err)
		}
		type lent struct {
			b    *buffer
			mark byte
		}
		var out []lent
		for i := range rapid.IntRange(1, 200).Draw(t, "steps") {
			if len(out) > 0 && rapid.Bool().Draw(t, "release") {
				j := rapid.IntRange(0, len(out)-1).Draw(t, "which")
				x := out[j]
				if x.b.data[0] != x.mark || x.b.data[len(x.b.data)-1] != x.mark {
					t.Fatal("somebody else wrote to a buffer")
				}
				x.b.release()
				out = append(out[:j], out[j+1:]...)
				continue
			}
			n := 1 << rapid.IntRange(0, 20).Draw(t, "size")
			var after *buffer
			if len(out) > 0 {
				after = out[len(out)-1].b
			}
			if b := p.tryGet(lane(i%2), n, after); b != nil {
				if len(b.data) < n {
					t.Fatalf("%d bytes for %d", len(b.data), n)
				}
				b.data[0], b.data[len(b.data)-1] = byte(i), byte(i)
				out = append(out, lent{b, byte(i)})
			}
			if p.used[0]+p.used[1]+p.idle > p.limit || p.peak > p.limit {
				t.Fatalf("used %v, idle %d, peak %d", p.used, p.idle, p.peak)
			}
		}
		for _, x := range out {
			x.b.release()
		}
		if p.used != [lanes]int64{} {
			t.Fatalf("%v bytes in use at the end", p.used)
		}
		if err := p.close(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestLanesCannotStarveEachOther(t *testing.T) {
	p := newTestPool(t, minMemory)
	var bufs []*buffer
	for {
		b := p.tryGet(reading, maxBuffer, nil)
		if b == nil {
			break
		}
		bufs = append(bufs, b)
	}
	if b := p.tryGet(writing, maxBuffer, nil); b == nil {
		t.Error("readers took the writers' share")
	} else {
		bufs = append(bufs, b)
	}
	for _, b := range bufs {
		b.release()
	}
	if err := p.close(); err != nil {
		t.Error(err)
	}
}

func TestBuffersOfAStreamLieSideBySideAgain(t *testing.T) {
	p := newTestPool(t, minMemory)
	for range 3 {
		var bufs []*buffer
		for range 6 {
			var last *buffer
			if n := len(bufs); n > 0 {
				last = bufs[n-1]
			}
			b := p.tryGet(reading, maxBuffer, last)
			if last != nil && b.slot != last.slot+1 {
				t.Errorf("after slot %d comes %d", last.slot, b.slot)
			}
			bufs = append(bufs, b)
		}
		for _, b := range bufs {
			b.release()
		}
	}
	if err := p.close(); err != nil {
		t.Error(err)
	}
}

func TestMemoryIsLentInOrderOfAsking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newTestPool(t, minMemory)
		var bufs []*buffer
		for b := p.tryGet(reading, maxBuffer, nil); b != nil; b = p.tryGet(reading, maxBuffer, nil) {
			bufs = append(bufs, b)
		}
		order := make(chan int, 4)
		ctx, cancel := context.WithCancel(t.Context())
		for i := range 4 {
			ctx := ctx
			if i != 1 {
				ctx = t.Context()
			}
			go func() {
				b, err := p.get(ctx, reading, maxBuffer)
				if i == 1 {
					if !errors.Is(err, s3.ErrCanceled) {
						t.Errorf("a cancelled wait: %v", err)
					}
					return
				}
				if err != nil {
					t.Error(err)
					return
				}
				order <- i
				b.release()
			}()
			synctest.Wait()
		}
		cancel()
		synctest.Wait()
		if b := p.tryGet(reading, 1, nil); b != nil {
			t.Error("somebody was served before those who wait")
		}
		for _, b := range bufs {
			b.release()
			synctest.Wait()
		}
		for _, want := range []int{0, 2, 3} {
			if got := <-order; got != want {
				t.Errorf("served %d, want %d", got, want)
			}
		}
		if err := p.close(); err != nil {
			t.Error(err)
		}
	})
}

func TestSmallWishWaitsBehindALargeOneUntilThatIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newTestPool(t, minMemory)
		bufs := []*buffer{p.tryGet(reading, maxBuffer/2, nil)}
		for b := p.tryGet(reading, maxBuffer, nil); b != nil; b = p.tryGet(reading, maxBuffer, nil) {
			bufs = append(bufs, b)
		}
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			if _, err := p.get(ctx, reading, maxBuffer); !errors.Is(err, s3.ErrCanceled) {
				t.Errorf("a cancelled wait: %v", err)
			}
		}()
		synctest.Wait()
		small := make(chan *buffer, 1)
		go func() {
			b, err := p.get(t.Context(), reading, minBuffer)
			if err != nil {
				t.Error(err)
			}
			small <- b
		}()
		synctest.Wait()
		if b := p.tryGet(reading, minBuffer, nil); b != nil || len(small) > 0 {
			t.Error("a small wish overtook a large one")
		}
		cancel()
		synctest.Wait()
		for _, b := range append(bufs, <-small) {
			b.release()
		}
		if err := p.close(); err != nil {
			t.Error(err)
		}
	})
}

func TestIdleMemoryIsGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newTestPool(t, minMemory)
		for _, n := range []int{1, 5000, maxBuffer} {
			p.tryGet(reading, n, nil).release()
		}
		p.mu.Lock()
		if p.idle == 0 {
			t.Error("nothing is kept for the next one")
		}
		p.mu.Unlock()
		// Two intervals: what was in use at the begin of the first may stay for it.
		for range 3 {
			time.Sleep(idleAfter)
			synctest.Wait()
		}
		p.mu.Lock()
		if p.idle != 0 || p.trim != nil {
			t.Errorf("%d bytes are kept for nobody", p.idle)
		}
		p.mu.Unlock()
		if err := p.close(); err != nil {
			t.Error(err)
		}
	})
}
