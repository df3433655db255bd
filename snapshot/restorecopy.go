package snapshot

import (
	"context"
	"errors"
	"fmt"

	"github.com/cgs3fs/cgs3fs/s3"
)

// conflict notes that somebody else's change is left alone.
func (r *restoration) conflict(key string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.done.Conflicts = append(r.done.Conflicts, key)
}

func (r *restoration) count(e Entry, n *int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	*n++
	r.done.Bytes += e.Size
	r.o.Progress.Copied.Add(1)
	r.o.Progress.CopiedBytes.Add(e.Size)
}

func (r *restoration) copy(ctx context.Context, p pair[Entry, s3.Object]) error {
	from := version{r.s.at.place(r.m.ID, p.a), p.a.copyETag(), p.a.Size, p.a.StorageClass}
	to := place{key: r.o.ToPrefix + p.key, ifNoneMatch: "*"}
	if p.inB {
		to.ifNoneMatch, to.ifMatch = "", p.b.ETag
	}
	_, err := r.copier.copy(ctx, from, to)
	switch {
	case err == nil:
		r.count(p.a, &r.done.Copied)
		return nil
	case errors.Is(err, s3.ErrChanged), errors.Is(err, s3.ErrExists), errors.Is(err, s3.ErrNotFound):
		return r.whoChanged(ctx, p.key, from, to)
	}
	return fmt.Errorf("restoring %q: %w", p.key, err)
}

// whoChanged finds out which of the two conditions of a copy failed.
func (r *restoration) whoChanged(ctx context.Context, key string, from version, to place) error {
	info, err := r.head(ctx, r.s.dest, from.key)
	if err != nil {
		return err
	}
	there, err := r.head(ctx, r.to, to.key)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case info.ETag != from.etag:
		r.done.Damaged = append(r.done.Damaged, key)
	case there.Size == from.size && (there.ETag == from.etag || there.Checksum != "" && there.Checksum == info.Checksum):
		r.done.Copied++ // by an attempt whose answer got lost
		r.done.Bytes += from.size
	default:
		r.done.Conflicts = append(r.done.Conflicts, key)
	}
	return nil
}

// remove deletes extras in the state that they were listed in.
func (r *restoration) remove(ctx context.Context, doomed []s3.Target) error {
	var left []string
	var err error
	if !r.o.DryRun {
		err = r.s.deleteFrom(ctx, r.to, doomed, &left)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.done.Deleted += int64(len(doomed) - len(left))
	r.done.Conflicts = append(r.done.Conflicts, left...)
	return err
}
