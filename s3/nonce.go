package s3

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"reflect"
)

// A write whose answer gets lost may have happened or not. When it is tried
// again and the server then says that the key exists already, or was changed,
// or that the upload is gone, the one who did that may be we ourselves, and
// neither the content nor the time proves it: two programs may create the same
// empty lock file at the same moment, and only one of them may believe to have
// it. So writes whose repetition could be refused carry a random number in
// their metadata, and one Head tells whose object it is.
const nonceKey = "cgs3fs-write"

func newNonce() string { return rand.Text()[:16] } // 80 bits

// withNonce returns a with the nonce added.
func withNonce(a Attributes, nonce string) Attributes {
	a.Metadata = maps.Clone(a.Metadata)
	if a.Metadata == nil {
		a.Metadata = map[string]string{}
	}
	a.Metadata[nonceKey] = nonce
	return a
}

// withoutNonce hides the nonce, which is nobody's business above Retry.
func withoutNonce(info Info) Info {
	if _, ok := info.Metadata[nonceKey]; !ok {
		return info
	}
	info.Metadata = maps.Clone(info.Metadata)
	if delete(info.Metadata, nonceKey); len(info.Metadata) == 0 {
		info.Metadata = nil
	}
	return info
}

// byNonce recognises an object by its nonce. Without one it is nil.
func byNonce(nonce string) func(context.Context, Info) bool {
	if nonce == "" {
		return nil
	}
	return func(_ context.Context, found Info) bool { return found.Metadata[nonceKey] == nonce }
}

// write is a request that makes an object and may be repeated.
type write struct {
	r       *retrier
	op, key string
	mine    func(ctx context.Context, found Info) bool // nil: that can't be told
	like    func(ctx context.Context, found Info) bool // whether found is what the write makes, where mine alone may be chance; may be nil
}

// do runs call until it succeeds, or has succeeded as a Head shows, or trying
// again makes no sense.
func (w write) do(ctx context.Context, call func() (Info, error)) (Info, error) {
	var info Info
	unclear := false // whether an earlier attempt may have happened
	err := w.r.do(ctx, w.op, w.key, w.r.cfg.UploadPatience, func() (err error) {
		info, err = call()
		if err != nil && unclear && w.mine != nil && mayBeOurs(err) {
			info, err = w.find(ctx, err)
		}
		unclear = unclear || errors.Is(err, ErrUnavailable) || errors.Is(err, ErrThrottled)
		return err
	})
	if unclear && w.mine != nil && (transient(err) || errors.Is(err, ErrDenied) || errors.Is(err, ErrCredentials)) {
		return w.despite(ctx, err)
	}
	return info, err
}

// despite returns the object if it is what we wrote, although the last attempt
// failed for another reason than that, or else why it failed. One question must
// do: whatever is wrong has been tried often enough.
func (w write) despite(ctx context.Context, failed error) (Info, error) {
	found, err := w.r.b.Head(ctx, w.key)
	if err != nil || !w.mine(ctx, found) || w.like != nil && !w.like(ctx, found) {
		return Info{}, failed
	}
	return w.happened(found), nil
}

func (w write) happened(found Info) Info {
	w.r.cfg.Log.Info("write had succeeded although its answer was lost", "op", w.op, "key", w.key)
	return withoutNonce(found)
}

// mayBeOurs says whether our own success can be why an attempt was refused.
func mayBeOurs(err error) bool {
	return errors.Is(err, ErrExists) || errors.Is(err, ErrChanged) || errors.Is(err, ErrNoUpload) || errors.Is(err, ErrNotFound)
}

// find returns the object if it is what we wrote, otherwise refused. If that
// cannot be found out, it stays unclear, and the error says so.
func (w write) find(ctx context.Context, refused error) (Info, error) {
	found, err := repeat(ctx, w.r, OpHead, w.key, func() (Info, error) { return w.r.b.Head(ctx, w.key) })
	switch {
	case errors.Is(err, ErrNotFound):
		return Info{}, refused
	case errors.Is(err, ErrCanceled):
		return Info{}, err
	case err != nil: // as text, for an error has one kind
		return Info{}, &Error{Op: w.op, Key: w.key, Kind: ErrUnavailable, Err: fmt.Errorf("finding out whether it happened: %v", err)}
	case !w.mine(ctx, found):
		return Info{}, refused
	}
	return w.happened(found), nil
}

// isCopy says whether found is what a Copy that keeps the source's attributes
// makes. It has no nonce of its own, so this goes by content: it was not there
// before, if the copy was conditional, and it equals the source.
func (r *retrier) isCopy(ctx context.Context, src Source, found Info, o CopyOptions) bool {
	if o.IfMatch != "" && found.ETag == o.IfMatch {
		return false
	}
	if src.ETag != "" && found.ETag == src.ETag {
		return true
	}
	if src.Bucket != "" || src.VersionID != "" {
		return false
	}
	from, err := repeat(ctx, r, OpHead, src.Key, func() (Info, error) { return r.b.Head(ctx, src.Key) })
	if err != nil || from.Size != found.Size || src.ETag != "" && from.ETag != src.ETag {
		return false
	}
	return from.ETag == found.ETag || from.Checksum != "" && from.Checksum == found.Checksum
}

// likeSource says whether found, which has the source's content, has its
// attributes as well: then it is what the copy makes, even if that was there
// before.
func (r *retrier) likeSource(ctx context.Context, src Source, found Info) bool {
	if src.Bucket != "" || src.VersionID != "" {
		return false
	}
	from, err := r.b.Head(ctx, src.Key)
	if err != nil || src.ETag != "" && from.ETag != src.ETag || from.Tags != found.Tags {
		return false
	}
	a, b := from.Attributes, found.Attributes
	same := maps.Equal(a.Metadata, b.Metadata)
	a.Metadata, b.Metadata = nil, nil
	return same && reflect.DeepEqual(a, b)
}
