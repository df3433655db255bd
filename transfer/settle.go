package transfer

import (
	"context"
	"errors"
	"os"

	"github.com/cgs3fs/cgs3fs/s3"
)

// removeOld removes what the draft published under a name that it does not have
// any more.
func (d *Draft) removeOld(ctx context.Context, old s3.Object) {
	if err := d.e.bucket.Delete(ctx, s3.Target{Key: old.Key, ETag: old.ETag}); err != nil {
		d.e.log.Warn("the old name of a renamed file is left in the bucket", "key", old.Key, "err", err)
	}
}

// settle makes what was committed the base. A small content stays here as well,
// for the next edit, until somebody needs the memory.
func (d *Draft) settle(key string, info s3.Info) s3.Info {
	d.mu.Lock()
	info.Key, info.Size = key, d.size // not every server tells after a write
	d.base, d.baseEnd, d.key = &info.Object, d.size, key
	d.dirty, d.stream, d.doubts = false, nil, nil
	old := d.takeReader()
	keep := d.size <= maxBuffer && d.local.mem.covers(0, d.size)
	if !keep {
		d.local.clear()
	}
	d.mu.Unlock()
	closeReader(old)
	d.e.holds(d, keep)
	return info
}

func (d *Draft) lastUse() int64 { return d.used.Load() }

// shed gives up what is here of a clean draft.
func (d *Draft) shed(int64) int64 {
	select {
	case d.turn <- struct{}{}:
		defer d.unlock()
	default:
		return 0 // in use
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.dirty || d.ended {
		return 0
	}
	freed := d.local.memory()
	d.local.clear()
	return freed
}

// Discard gives the draft up: uploads are aborted, memory and disk freed. Only
// an error of the abort is returned; the rest is done then as well. Discarding
// a draft that has ended does nothing.
func (d *Draft) Discard(ctx context.Context) error {
	d.cancel()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortTime)
	defer cancel()
	if err := d.lock(ctx); err != nil {
		if errors.Is(err, os.ErrClosed) {
			return nil
		}
		return err
	}
	defer d.unlock()
	d.wg.Wait()
	var err error
	if !d.restored {
		err = d.abandonStream(ctx)
	}
	d.end()
	return err
}

// end frees all that the draft has. The turn must be held.
func (d *Draft) end() {
	d.mu.Lock()
	d.ended, d.stream = true, nil
	d.local.clear()
	old := d.takeReader()
	d.mu.Unlock()
	closeReader(old)
	d.e.holds(d, false)
	d.e.drafts.Add(-1)
}
