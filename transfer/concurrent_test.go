package transfer

import (
	"bytes"
	"context"
	"errors"
	"io"
	"runtime"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/cgs3fs/cgs3fs/s3"
	"github.com/cgs3fs/cgs3fs/s3/s3test"
)

// Writers of different bytes, readers and commits all at once: every byte that
// was written is there in the end, and each reader sees it old or new.
func TestDraftServesManyAtOnce(t *testing.T) {
	for _, sequential := range []bool{true, false} {
		b, mem := bucket()
		e := newEngine(t, b, small.in(t.TempDir()))
		d := newDraft(t, e, "a", nil, sequential)
		const size, writers = 2000, 4
		want := noise(size, 1)
		for i := range want {
			want[i] |= 1 // so that none is what a hole is
		}
		var g errgroup.Group
		for w := range writers {
			g.Go(func() error {
				for off := w * 10; off < size; off += writers * 10 {
					if err := d.WriteAt(bg, want[off:off+10], int64(off)); err != nil {
						return err
					}
				}
				return nil
			})
		}
		for range 2 {
			g.Go(func() error {
				p := make([]byte, 100)
				for off := int64(0); off < size; off += 50 {
					n, err := d.ReadAt(bg, p, off)
					if err != nil && err != io.EOF {
						return err
					}
					for i, got := range p[:n] {
						if got != 0 && got != want[off+int64(i)] {
							return errors.New("a byte that nobody wrote")
						}
					}
				}
				return nil
			})
		}
		g.Go(func() error {
			for range 5 {
				if _, err := d.Commit(bg, "a", s3.PutOptions{}); err != nil {
					return err
				}
			}
			return nil
		})
		if err := g.Wait(); err != nil {
			t.Fatalf("sequential %v: %v", sequential, err)
		}
		commit(t, d, "a", s3.PutOptions{})
		checkObject(t, mem, "a", want)
		if got := content(t, d); !bytes.Equal(got, want) {
			t.Error("the draft differs from what it committed")
		}
	}
}

func TestCancelledCommitLosesNothing(t *testing.T) {
	for _, sequential := range []bool{true, false} {
		for _, op := range []string{s3.OpNewUpload, s3.OpPart, s3.OpCompleteUpload} {
			b, mem := bucket()
			e := newEngine(t, b, small.in(t.TempDir()))
			d := newDraft(t, e, "a", nil, sequential)
			want := noise(500, 1)
			write(t, d, want[:20], 0)
			b.SetPlan(s3test.Plan{Rules: []s3test.Rule{{Op: op, Fault: s3test.Fault{Do: s3test.Hang}}}})
			ctx, cancel := context.WithCancel(bg)
			done := make(chan error, 1)
			go func() {
				if err := d.WriteAt(ctx, want[20:], 20); err != nil {
					done <- err
					return
				}
				_, err := d.Commit(ctx, "a", s3.PutOptions{})
				done <- err
			}()
			for b.Calls()[op] == 0 {
				runtime.Gosched()
			}
			cancel()
			if err := <-done; !errors.Is(err, s3.ErrCanceled) && !errors.Is(err, context.Canceled) {
				t.Errorf("sequential %v, %s: %v", sequential, op, err)
			}
			if !d.Dirty() {
				t.Errorf("sequential %v, %s: clean after a cancelled commit", sequential, op)
			}
			b.SetPlan(s3test.Plan{})
			if d.Size() == 20 { // the write was cancelled, not the commit
				write(t, d, want[20:], 20)
			}
			if op == s3.OpPart && sequential {
				continue // its parts hang until the draft ends
			}
			commit(t, d, "a", s3.PutOptions{})
			checkObject(t, mem, "a", want)
		}
	}
}
