package s3

import (
	"context"
	"io"
	"sync"
)

// Limits is how many requests may be under way at once. A number that is not
// positive is no limit.
type Limits struct {
	Control int

	// Data is the limit of downloads, from Get until the body is closed, and
	// another as large of uploads: who copies from one object to another by
	// reading and writing would wait for himself if the two shared one.
	Data int
}

// Limit makes requests of b wait for their turn, each class for itself, so that
// a listing never queues behind downloads. Below [Retry], what waits for its
// next attempt lets others go first.
func Limit(b Bucket, limits Limits) Bucket {
	return &limiter{Bucket: b, control: newTurns(limits.Control), reads: newTurns(limits.Data), writes: newTurns(limits.Data)}
}

type limiter struct {
	Bucket
	control, reads, writes turns
}

func (l *limiter) Unwrap() Bucket { return l.Bucket }

// turns is a semaphore; nil is one without a limit.
type turns chan struct{}

func newTurns(n int) turns {
	if n <= 0 {
		return nil
	}
	return make(turns, n)
}

// take waits for a turn and returns the function that gives it back.
func (t turns) take(ctx context.Context, op, key string) (func(), error) {
	if t == nil {
		return func() {}, nil
	}
	select {
	case t <- struct{}{}:
		return func() { <-t }, nil
	case <-ctx.Done():
		return nil, &Error{Op: op, Key: key, Kind: ErrCanceled, Err: context.Cause(ctx)}
	}
}

// inTurn runs call when it is its turn.
func inTurn[T any](ctx context.Context, t turns, op, key string, call func() (T, error)) (T, error) {
	done, err := t.take(ctx, op, key)
	if err != nil {
		var none T
		return none, err
	}
	defer done()
	return call()
}

func (l *limiter) Head(ctx context.Context, key string) (Info, error) {
	return inTurn(ctx, l.control, OpHead, key, func() (Info, error) { return l.Bucket.Head(ctx, key) })
}

func (l *limiter) Get(ctx context.Context, key string, o GetOptions) (*Body, error) {
	done, err := l.reads.take(ctx, OpGet, key)
	if err != nil {
		return nil, err
	}
	body, err := l.Bucket.Get(ctx, key, o)
	if err != nil {
		done()
		return nil, err
	}
	body.ReadCloser = &limitedBody{ReadCloser: body.ReadCloser, done: sync.OnceFunc(done)}
	return body, nil
}

type limitedBody struct {
	io.ReadCloser
	done func()
}

func (b *limitedBody) Close() error {
	defer b.done()
	return b.ReadCloser.Close()
}

func (l *limiter) ListPage(ctx context.Context, in ListInput) (Page, error) {
	return inTurn(ctx, l.control, OpList, in.Prefix, func() (Page, error) { return l.Bucket.ListPage(ctx, in) })
}

func (l *limiter) Put(ctx context.Context, key string, body io.ReadSeeker, o PutOptions) (Info, error) {
	return inTurn(ctx, l.writes, OpPut, key, func() (Info, error) { return l.Bucket.Put(ctx, key, body, o) })
}

func (l *limiter) Copy(ctx context.Context, src Source, dst string, o CopyOptions) (Info, error) {
	return inTurn(ctx, l.control, OpCopy, dst, func() (Info, error) { return l.Bucket.Copy(ctx, src, dst, o) })
}

func (l *limiter) Delete(ctx context.Context, targets ...Target) error {
	return inBatches(targets, func(batch []Target) error {
		_, err := inTurn(ctx, l.control, OpDelete, batch[0].Key, func() (struct{}, error) {
			return struct{}{}, l.Bucket.Delete(ctx, batch...)
		})
		return err
	})
}

func (l *limiter) NewUpload(ctx context.Context, key string, o PutOptions) (Upload, error) {
	return inTurn(ctx, l.control, OpNewUpload, key, func() (Upload, error) {
		return l.wrap(l.Bucket.NewUpload(ctx, key, o))
	})
}

func (l *limiter) ResumeUpload(ctx context.Context, key, id string, o PutOptions) (Upload, error) {
	return inTurn(ctx, l.control, OpListParts, key, func() (Upload, error) {
		return l.wrap(l.Bucket.ResumeUpload(ctx, key, id, o))
	})
}

func (l *limiter) wrap(u Upload, err error) (Upload, error) {
	if err != nil {
		return nil, err
	}
	return &limitedUpload{u, l}, nil
}

func (l *limiter) ListUploads(ctx context.Context, prefix string) ([]PendingUpload, error) {
	return inTurn(ctx, l.control, OpListUploads, prefix, func() ([]PendingUpload, error) {
		return l.Bucket.ListUploads(ctx, prefix)
	})
}

type limitedUpload struct {
	Upload
	l *limiter
}

func (u *limitedUpload) Part(ctx context.Context, n int, body io.ReadSeeker) (Part, error) {
	return inTurn(ctx, u.l.writes, OpPart, u.Key(), func() (Part, error) { return u.Upload.Part(ctx, n, body) })
}

func (u *limitedUpload) CopyPart(ctx context.Context, n int, src Source, r Range) (Part, error) {
	return inTurn(ctx, u.l.control, OpCopyPart, u.Key(), func() (Part, error) { return u.Upload.CopyPart(ctx, n, src, r) })
}

func (u *limitedUpload) Complete(ctx context.Context) (Info, error) {
	return inTurn(ctx, u.l.control, OpCompleteUpload, u.Key(), func() (Info, error) { return u.Upload.Complete(ctx) })
}

func (u *limitedUpload) Abort(ctx context.Context) error {
	_, err := inTurn(ctx, u.l.control, OpAbortUpload, u.Key(), func() (struct{}, error) {
		return struct{}{}, u.Upload.Abort(ctx)
	})
	return err
}
