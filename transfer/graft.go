package transfer

import (
	"context"

	"github.com/cgs3fs/cgs3fs/s3"
)

// Graft makes the bytes from off to end those of another object, which Commit
// then has the server copy under the condition that it is src still. It reports
// false, and changes nothing, unless the draft is empty and off is 0, or all of
// it came from src so far and off is its end.
func (d *Draft) Graft(ctx context.Context, src s3.Object, off, end int64) (bool, error) {
	if err := d.check(off, end); err != nil {
		return false, err
	}
	if err := d.lock(ctx); err != nil {
		return false, err
	}
	defer d.unlock()
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.stream != nil || off != d.size || len(d.local.mem) > 0 || len(d.local.disk) > 0:
		return false, nil
	case d.base == nil && off == 0:
		base := src
		d.base = &base
	case d.base == nil || d.base.Key != src.Key || d.base.ETag != src.ETag || off != d.baseEnd:
		return false, nil
	}
	d.size, d.baseEnd, d.dirty = end, end, true
	return true, nil
}
