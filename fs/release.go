package fs

import (
	"context"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/cgs3fs/cgs3fs/transfer"
)

// Release ends a handle. Nothing it does can be told to the program, so what
// is still unsaved here (see doc.go) is saved in the background.
func (f *FS) Release(cancel <-chan struct{}, in *fuse.ReleaseIn) {
	h, _ := f.handles.remove(in.Fh).(*handle)
	if h == nil {
		return
	}
	fl := h.file
	fl.mu.Lock()
	fl.handles--
	fl.mu.Unlock()
	h.closeReader()
	if !h.write || !fl.leave(h) || fl.state().draft == nil {
		fl.drop()
		return
	}
	if !fl.unsaved() {
		fl.settle(f.life)
		fl.drop()
		return
	}
	f.work.Add(1)
	go func() {
		defer f.work.Done()
		fl.settle(f.life)
		fl.drop()
	}()
}

// releaseWait is how long the kernel's word that a descriptor was closed may come
// after what the program did next: close(2) does not wait for it.
const releaseWait = 20 * time.Millisecond

// released says whether the descriptors that done looks at are closed, and gives
// those whose release may be on its way the time for it. done is called with
// fl.mu held.
func (fl *file) released(ctx context.Context, done func() bool) bool {
	for deadline := time.Now().Add(releaseWait); ; time.Sleep(releaseWait / 20) {
		fl.mu.Lock()
		ok := done()
		fl.mu.Unlock()
		if ok || ctx.Err() != nil || time.Now().After(deadline) {
			return ok
		}
	}
}

// leave takes a writer's handle from the file's, and reports whether it was the
// last. A stale one is none of them any more.
func (fl *file) leave(h *handle) bool {
	fl.mu.Lock()
	defer fl.mu.Unlock()
	if h.epoch != fl.epoch {
		return false
	}
	fl.writers--
	return fl.writers == 0
}

// settle ends a draft whose last writer is gone: it is saved, or kept in the
// recovery directory.
func (fl *file) settle(ctx context.Context) {
	if err := fl.op.lock(context.WithoutCancel(ctx)); err != nil {
		return
	}
	defer fl.op.unlock()
	fl.mu.Lock()
	busy, failed, draft := fl.writers > 0, fl.failed, fl.draft
	unlinked := fl.orphan // its draft is all there is of it: it goes with the last descriptor
	fl.mu.Unlock()
	if busy || unlinked || draft == nil {
		return
	}
	if fl.unsaved() && (failed == nil || toErrno(failed) == syscall.EINTR) {
		if failed = fl.commitLocked(ctx); failed != nil {
			fl.node.tell(failed)
		}
	}
	if fl.unsaved() {
		fl.rescue(failed)
		return
	}
	fl.adoptPublished()
	fl.abandonLocked(context.WithoutCancel(ctx))
}

// abandon throws the draft away.
func (fl *file) abandon(ctx context.Context) {
	if err := fl.op.lock(context.WithoutCancel(ctx)); err != nil {
		return
	}
	defer fl.op.unlock()
	fl.abandonLocked(ctx)
}

func (fl *file) abandonLocked(ctx context.Context) {
	if d := fl.takeDraft(); d != nil {
		fl.discard(ctx, d)
	}
}

func (fl *file) discard(ctx context.Context, d *transfer.Draft) {
	if err := d.Discard(ctx); err != nil {
		fl.fs.log.Warn("discarding unsaved bytes", "err", err)
	}
}

func (fl *file) takeDraft() *transfer.Draft {
	fl.mu.Lock()
	d := fl.draft
	fl.draft = nil
	fl.mu.Unlock()
	fl.fs.unsaved.remove(fl)
	return d
}
