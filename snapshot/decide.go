package snapshot

import (
	"context"
	"errors"
	"reflect"
	"strings"

	"github.com/cgs3fs/cgs3fs/s3"
)

// wants says whether the restore is about a key.
func wants(paths []string, key string) bool {
	for _, path := range paths {
		if key == path || strings.HasSuffix(path, "/") && strings.HasPrefix(key, path) {
			return true
		}
	}
	return len(paths) == 0
}

// action is what is to be done about one key.
type action int

const (
	leave action = iota
	same
	keep
	replace
	remove
)

// decide compares the snapshot with the target for one key.
func (r *restoration) decide(ctx context.Context, p pair[Entry, s3.Object]) (action, error) {
	switch {
	case !wants(r.o.Paths, p.key):
		return leave, nil
	case !p.inA && r.o.Delete && r.scope.holds(p.key):
		return remove, nil
	case !p.inA:
		return leave, nil
	case !p.inB || r.o.Overwrite == OverwriteAlways:
		return replace, nil
	}
	equal, err := r.equal(ctx, p.a, p.b)
	switch {
	case err != nil:
		return leave, err
	case equal:
		return same, nil
	case r.o.Overwrite == OverwriteNever:
		return keep, nil
	}
	return replace, nil
}

// equal says whether the target's object needs no restoring: it is the very
// version, or has its bytes and its attributes.
func (r *restoration) equal(ctx context.Context, e Entry, o s3.Object) (bool, error) {
	if e.Size != o.Size {
		return false, nil
	}
	if r.inPlace() && e.sameVersion(entryOf(o)) {
		return true, nil
	}
	there, err := r.head(ctx, r.to, r.o.ToPrefix+o.Key)
	if err != nil {
		return false, err
	}
	now := entryOf(there.Object)
	now.Checksum = there.Checksum
	if !e.sameContent(now) {
		return false, nil
	}
	kept, err := r.head(ctx, r.s.dest, r.s.at.place(r.m.ID, e))
	return reflect.DeepEqual(kept.Attributes, there.Attributes) && kept.Tags == there.Tags, err
}

func (r *restoration) head(ctx context.Context, bucket s3.Bucket, key string) (info s3.Info, err error) {
	r.mu.Lock()
	r.heads++
	r.mu.Unlock()
	err = r.s.gate.do(ctx, func() (err error) {
		info, err = bucket.Head(ctx, key)
		return err
	})
	if errors.Is(err, s3.ErrNotFound) { // differs from anything
		return s3.Info{}, nil
	}
	return info, err
}
