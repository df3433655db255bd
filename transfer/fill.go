package transfer

import (
	"context"

	"github.com/cgs3fs/cgs3fs/s3"
)

// skipped is how many bytes that are here already it is cheaper to fetch again
// than to ask twice.
const skipped = 256 << 10

// fill fetches the bytes of the base that are missing in p, so that no request
// has to wait for another one, and returns which.
func (d *Draft) fill(ctx context.Context, p span) (ranges, error) {
	d.mu.Lock()
	missing := d.local.missing(p.off, min(p.end, d.baseEnd))
	base := d.base
	d.mu.Unlock()
	for i := 0; i < len(missing); {
		j := i + 1
		for j < len(missing) && missing[j].off-missing[j-1].end < skipped {
			j++
		}
		if err := d.fetch(ctx, *base, missing[i:j]); err != nil {
			d.unfill(missing[:j])
			return nil, err
		}
		i = j
	}
	return missing, nil
}

// unfill forgets what fill fetched.
func (d *Draft) unfill(filled ranges) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range filled {
		d.local.remove(s.off, s.end)
	}
}

// fetch gets spans of the base with one GET. Where the memory does not suffice
// they go to the staging file.
func (d *Draft) fetch(ctx context.Context, base s3.Object, want ranges) error {
	r := d.e.NewReader(base)
	defer r.Close()
	off, end := want[0].off, want[len(want)-1].end
	body, err := r.ranged(ctx, off, end-off)
	if err != nil {
		return err
	}
	defer r.finish(body)
	scratch := make([]byte, min(end-off, 256<<10))
	for at := off; at < end; at += int64(len(scratch)) {
		p := scratch[:min(int64(len(scratch)), end-at)]
		if err := r.readFull(body, p, at); err != nil {
			return err
		}
		for _, s := range want.within(at, at+int64(len(p))) {
			if err := d.keep(p[s.off-at:s.end-at], s.off); err != nil {
				return err
			}
		}
	}
	return nil
}

// keep puts bytes of the base where there is room.
func (d *Draft) keep(p []byte, off int64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.local.room(off, off+int64(len(p))) {
		d.local.put(p, off)
		return nil
	}
	return d.local.putDisk(p, off)
}
