package transfer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
	"testing"

	"golang.org/x/sync/errgroup"
	"pgregory.net/rapid"

	"github.com/cgs3fs/cgs3fs/s3"
	"github.com/cgs3fs/cgs3fs/s3/s3test"
)

func mustOpen(t testing.TB, e *Engine, key string, hint s3.Object) *Reader {
	t.Helper()
	r, info, same, err := e.Open(context.Background(), key, hint, "")
	if err != nil || same {
		t.Fatalf("opening %s: unchanged %v, %v", key, same, err)
	}
	if info.Object.ETag != r.Object().ETag {
		t.Fatalf("opened %s as %v, told %v", key, r.Object(), info)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// readAll reads a whole object in steps as the kernel does.
func readAll(t testing.TB, r *Reader, step int) []byte {
	t.Helper()
	var out []byte
	for {
		v, err := r.View(context.Background(), int64(len(out)), step)
		if err != nil {
			t.Fatalf("reading at %d: %v", len(out), err)
		}
		if len(v.Bytes()) == 0 {
			return out
		}
		out = append(out, v.Bytes()...)
		v.Release()
	}
}

func TestSequentialReadReturnsTheObject(t *testing.T) {
	b, mem := bucket()
	e := newEngine(t, b, Config{Memory: 32 << 20})
	for _, size := range []int{1, 4096, 1 << 20, firstRange - 1, firstRange, firstRange + 1, 6<<20 + 7} {
		want := noise(size, uint64(size))
		info := mem.PutBytes("a", want)
		for _, hint := range []s3.Object{{}, info.Object, {ETag: `"old"`, Size: 100}, {ETag: `"old"`, Size: 4 << 20}} {
			for _, step := range []int{128 << 10, 1<<20 - 4096} {
				r := mustOpen(t, e, "a", hint)
				if got := readAll(t, r, step); !bytes.Equal(got, want) {
					t.Errorf("%d bytes by %d, hint %d: read %d other bytes", size, step, hint.Size, len(got))
				}
				r.Close()
			}
		}
	}
}

func TestSmallFileCostsOneRequest(t *testing.T) {
	b, mem := bucket()
	e := newEngine(t, b, Config{})
	info := mem.PutBytes("a", noise(4096, 1))
	for _, hint := range []s3.Object{info.Object, {}} {
		b.Reset()
		r := mustOpen(t, e, "a", hint)
		readAll(t, r, 128<<10)
		if got := b.Log(); len(got) != 1 {
			t.Errorf("requests: %v", got)
		}
		if used := e.Stats().MemoryUsed; used != 4096 {
			t.Errorf("a file of 4096 bytes uses %d bytes of memory", used)
		}
		r.Close()
	}
}

func TestEmptyObjectOpens(t *testing.T) {
	b, mem := bucket()
	e := newEngine(t, b, Config{})
	info := mem.PutBytes("a", nil)
	for _, hint := range []s3.Object{{}, info.Object, {ETag: `"old"`, Size: 5 << 20}} {
		r := mustOpen(t, e, "a", hint)
		if n, err := r.ReadAt(context.Background(), make([]byte, 10), 0); n != 0 || err != io.EOF {
			t.Errorf("hint %v: read %d, %v", hint, n, err)
		}
	}
}

func TestUnchangedObjectIsNotSent(t *testing.T) {
	b, mem := bucket()
	e := newEngine(t, b, Config{})
	info := mem.PutBytes("a", noise(3<<20, 1))
	for _, hint := range []s3.Object{info.Object, {}} {
		r, _, same, err := e.Open(context.Background(), "a", hint, info.ETag)
		if err != nil || !same {
			t.Fatalf("hint %v: unchanged %v, %v", hint, same, err)
		}
		if got := r.Object(); got.Size != info.Size || got.ETag != info.ETag {
			t.Errorf("hint %v: object is %v", hint, got)
		}
		r.Close()
	}
	r, now, same, err := e.Open(context.Background(), "a", info.Object, `"other"`)
	if err != nil || same || now.ETag != info.ETag {
		t.Errorf("with another version at hand: unchanged %v, %v, %v", same, now, err)
	}
	r.Close()
}

func TestReaderNeverMixesVersions(t *testing.T) {
	b, mem := bucket()
	e := newEngine(t, b, Config{})
	mem.PutBytes("a", noise(10<<20, 1))
	r := mustOpen(t, e, "a", s3.Object{})
	mem.PutBytes("a", noise(10<<20, 2))
	p := make([]byte, 1<<20)
	for _, off := range []int64{8 << 20, 5 << 20, 6 << 20} {
		if _, err := r.ReadAt(context.Background(), p, off); !errors.Is(err, s3.ErrChanged) {
			t.Errorf("reading the old version at %d: %v", off, err)
		}
	}
	if _, err := r.ReadAt(context.Background(), p, 0); err != nil {
		t.Errorf("reading what had arrived: %v", err)
	}
}

func TestReadsAgreeWithTheObject(t *testing.T) {
	b, mem := bucket()
	e := newEngine(t, b, Config{Memory: 16 << 20})
	want := noise(9<<20+123, 1)
	info := mem.PutBytes("a", want)
	rapid.Check(t, func(t *rapid.T) {
		r := e.NewReader(info.Object)
		defer r.Close()
		pos := int64(0)
		for range rapid.IntRange(1, 40).Draw(t, "reads") {
			switch rapid.IntRange(0, 3).Draw(t, "kind") {
			case 0:
				pos = rapid.Int64Range(0, int64(len(want))+10).Draw(t, "off")
			case 1:
				pos = max(0, pos-rapid.Int64Range(0, 3<<20).Draw(t, "back"))
			}
			n := rapid.IntRange(1, 3<<20).Draw(t, "n")
			exp := want[min(pos, int64(len(want))):min(pos+int64(n), int64(len(want)))]
			if rapid.Bool().Draw(t, "view") {
				v, err := r.View(context.Background(), pos, n)
				if err != nil || !bytes.Equal(v.Bytes(), exp) {
					t.Fatalf("viewing %d at %d: %d bytes, %v", n, pos, len(v.Bytes()), err)
				}
				v.Release()
			} else {
				p := make([]byte, n)
				m, err := r.ReadAt(context.Background(), p, pos)
				if (err == io.EOF) != (m < n) || err != nil && err != io.EOF || !bytes.Equal(p[:m], exp) {
					t.Fatalf("reading %d at %d: %d, %v", n, pos, m, err)
				}
			}
			pos += int64(len(exp))
		}
	})
}

func TestManyReadersShareLittleMemory(t *testing.T) {
	b, mem := bucket()
	e := newEngine(t, b, Config{Memory: minMemory})
	want := noise(6<<20, 1)
	info := mem.PutBytes("a", want)
	var g errgroup.Group
	for i := range 40 {
		g.Go(func() error {
			r, _, _, err := e.Open(context.Background(), "a", info.Object, "")
			if err != nil {
				return err
			}
			defer r.Close()
			for off := 0; off < len(want); off += 200_000 {
				v, err := r.View(context.Background(), int64(off), 200_000)
				if err != nil {
					return err
				}
				ok := bytes.Equal(v.Bytes(), want[off:min(off+200_000, len(want))])
				v.Release()
				if !ok {
					return fmt.Errorf("reader %d: wrong bytes at %d", i, off)
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
}

func TestIdleReadersGiveTheirMemoryUp(t *testing.T) {
	b, mem := bucket()
	e := newEngine(t, b, Config{Memory: minMemory})
	want := noise(2<<20, 1)
	info := mem.PutBytes("a", want)
	var open []*Reader
	for range 20 {
		open = append(open, mustOpen(t, e, "a", info.Object))
	}
	for _, r := range open {
		if got := readAll(t, r, 128<<10); !bytes.Equal(got, want) {
			t.Fatal("wrong bytes")
		}
	}
}

func TestReadsOvertakingEachOtherStaySequential(t *testing.T) {
	b, mem := bucket()
	e := newEngine(t, b, Config{})
	want := noise(16<<20, 1)
	info := mem.PutBytes("a", want)
	r := mustOpen(t, e, "a", info.Object)
	const step = 128 << 10
	for off := int64(0); off < info.Size; off += 4 * step {
		var wg sync.WaitGroup
		for _, i := range []int64{2, 0, 3, 1} {
			wg.Go(func() {
				v, err := r.View(context.Background(), off+i*step, step)
				if err != nil || !bytes.Equal(v.Bytes(), want[off+i*step:off+(i+1)*step]) {
					t.Errorf("at %d: %v", off+i*step, err)
				}
				v.Release()
			})
		}
		wg.Wait()
	}
	if n := b.Calls()["GetObject"]; n > 8 {
		t.Errorf("%d requests for 16 MiB", n)
	}
}

func TestTwoHalvesAreBothReadAhead(t *testing.T) {
	b, mem := bucket()
	e := newEngine(t, b, Config{})
	want := noise(32<<20, 1)
	info := mem.PutBytes("a", want)
	r := mustOpen(t, e, "a", info.Object)
	p := make([]byte, 128<<10)
	for off := int64(0); off < 16<<20; off += int64(len(p)) {
		for _, o := range []int64{off, off + 16<<20} {
			if _, err := r.ReadAt(context.Background(), p, o); err != nil || !bytes.Equal(p, want[o:o+int64(len(p))]) {
				t.Fatalf("at %d: %v", o, err)
			}
		}
	}
	if n := b.Calls()["GetObject"]; n > 20 {
		t.Errorf("%d requests for 32 MiB", n)
	}
}

func TestReadFailsAndCanBeTriedAgain(t *testing.T) {
	b, mem := bucket()
	e := newEngine(t, b, Config{})
	want := noise(900_000, 1)
	info := mem.PutBytes("a", want)
	for _, do := range []s3test.Action{s3test.Fail, s3test.Cut, s3test.Truncate} {
		b.SetPlan(s3test.Plan{Rules: []s3test.Rule{{Op: s3.OpGet, Fault: s3test.Fault{Do: do, After: 1000}}}})
		r := e.NewReader(info.Object)
		p := make([]byte, len(want))
		n, err := r.ReadAt(context.Background(), p, 0)
		if err == nil {
			t.Errorf("%v: no error", do)
		}
		if !bytes.Equal(p[:n], want[:n]) {
			t.Errorf("%v: wrong bytes", do)
		}
		b.SetPlan(s3test.Plan{})
		if _, err := r.ReadAt(context.Background(), p, 0); err != nil || !bytes.Equal(p, want) {
			t.Errorf("%v: the second time: %v", do, err)
		}
		r.Close()
	}
}

func TestCancelledReadReturns(t *testing.T) {
	b, mem := bucket()
	e := newEngine(t, b, Config{})
	info := mem.PutBytes("a", noise(3<<20, 1))
	b.SetPlan(s3test.Plan{Rules: []s3test.Rule{{Op: s3.OpGet, Fault: s3test.Fault{Do: s3test.Hang}}}})
	ctx, cancel := context.WithCancel(context.Background())
	r := e.NewReader(info.Object)
	done := make(chan error, 1)
	go func() {
		_, err := r.ReadAt(ctx, make([]byte, 10), 0)
		done <- err
	}()
	cancel()
	if err := <-done; !errors.Is(err, s3.ErrCanceled) {
		t.Errorf("cancelled read: %v", err)
	}
	if _, _, _, err := e.Open(ctx, "a", info.Object, ""); !errors.Is(err, s3.ErrCanceled) {
		t.Errorf("cancelled open: %v", err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

func TestEndOfARunCancelsWhatItAskedFor(t *testing.T) {
	b, mem := bucket()
	e := newEngine(t, b, Config{})
	info := mem.PutBytes("a", noise(8<<20, 1))
	r := mustOpen(t, e, "a", info.Object)
	b.SetPlan(s3test.Plan{Rules: []s3test.Rule{{Op: s3.OpGet, Fault: s3test.Fault{Do: s3test.Hang}}}})
	if _, err := r.ReadAt(context.Background(), make([]byte, 1<<20), 0); err != nil {
		t.Fatal(err)
	}
	for b.Calls()[s3.OpGet] < 2 {
		runtime.Gosched()
	}
	r.mu.Lock()
	r.retire(r.cursors.list[0])
	r.mu.Unlock()
	r.wg.Wait() // or hangs
	if got := len(r.chunks); got != 0 {
		t.Errorf("%d chunks are left", got)
	}
}
