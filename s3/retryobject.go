package s3

import (
	"context"
	"errors"
	"io"
)

// repeat runs call until it succeeds or trying again makes no sense, with the
// patience for reads.
func repeat[T any](ctx context.Context, r *retrier, op, key string, call func() (T, error)) (T, error) {
	var v T
	err := r.do(ctx, op, key, r.cfg.Patience, func() (err error) {
		v, err = call()
		return err
	})
	return v, err
}

func (r *retrier) Head(ctx context.Context, key string) (Info, error) {
	info, err := repeat(ctx, r, OpHead, key, func() (Info, error) { return r.b.Head(ctx, key) })
	return withoutNonce(info), err
}

func (r *retrier) ListPage(ctx context.Context, in ListInput) (Page, error) {
	return repeat(ctx, r, OpList, in.Prefix, func() (Page, error) { return r.b.ListPage(ctx, in) })
}

func (r *retrier) ListUploads(ctx context.Context, prefix string) ([]PendingUpload, error) {
	return repeat(ctx, r, OpListUploads, prefix, func() ([]PendingUpload, error) { return r.b.ListUploads(ctx, prefix) })
}

func (r *retrier) Put(ctx context.Context, key string, body io.ReadSeeker, o PutOptions) (Info, error) {
	start, err := body.Seek(0, io.SeekCurrent)
	if err != nil {
		return Info{}, &Error{Op: OpPut, Key: key, Kind: ErrInvalid, Err: err}
	}
	var nonce string
	if o.IfMatch != "" || o.IfNoneMatch != "" {
		nonce = newNonce()
		o.Attributes = withNonce(o.Attributes, nonce)
	}
	w := write{r: r, op: OpPut, key: key, mine: byNonce(nonce)}
	return w.do(ctx, func() (Info, error) {
		if _, err := body.Seek(start, io.SeekStart); err != nil {
			return Info{}, &Error{Op: OpPut, Key: key, Kind: ErrInvalid, Err: err}
		}
		return r.b.Put(ctx, key, body, o)
	})
}

func (r *retrier) Copy(ctx context.Context, src Source, dst string, o CopyOptions) (Info, error) {
	w := write{r: r, op: OpCopy, key: dst}
	conditional := o.IfMatch != "" || o.IfNoneMatch != ""
	if conditional && o.Attributes == nil && src.Bucket == "" && src.VersionID == "" {
		// Only what replaces the attributes can carry a nonce.
		from, err := r.Head(ctx, src.Key)
		if err != nil {
			return Info{}, err
		}
		if src.ETag == "" {
			src.ETag = from.ETag
		}
		o.Attributes = &from.Attributes
	}
	if o.Attributes != nil {
		nonce := newNonce()
		a := withNonce(*o.Attributes, nonce)
		o.Attributes, w.mine = &a, byNonce(nonce)
	} else {
		w.mine = func(ctx context.Context, found Info) bool { return r.isCopy(ctx, src, found, o) }
		w.like = func(ctx context.Context, found Info) bool { return r.likeSource(ctx, src, found) }
	}
	return w.do(ctx, func() (Info, error) { return r.b.Copy(ctx, src, dst, o) })
}

// Delete tries again only what could not be deleted.
func (r *retrier) Delete(ctx context.Context, targets ...Target) error {
	return inBatches(targets, func(batch []Target) error {
		var final DeleteError
		err := r.do(ctx, OpDelete, batch[0].Key, r.cfg.UploadPatience, func() error {
			var later DeleteError
			batch = final.sort(batch, r.b.Delete(ctx, batch...), &later)
			return later.orNil()
		})
		final.merge(batch, err)
		return final.orNil()
	})
}

// sort adds the failures of a Delete that are final to e and the others to
// later. It returns the targets of the latter.
func (e *DeleteError) sort(batch []Target, err error, later *DeleteError) []Target {
	var all DeleteError
	all.merge(batch, err)
	var rest []Target
	for _, t := range batch {
		switch err := all.Failed[t.Key]; {
		case err == nil:
		case transient(err) || errors.Is(err, ErrCredentials):
			later.add(t.Key, err)
			rest = append(rest, t)
		default:
			e.add(t.Key, err)
		}
	}
	return rest
}
