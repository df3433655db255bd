package s3

import (
	"context"
	"io"
	"sync/atomic"
	"time"
)

// Class is what a request moves, and so which limit it falls under.
type Class int

// The classes. Control requests are small and people wait for them; Data
// requests move an object's content.
const (
	Control Class = iota
	Data
)

func (c Class) String() string {
	if c == Data {
		return "data"
	}
	return "control"
}

// Event is one finished request. That of a Get ends when its body is closed.
type Event struct {
	Op       string // one of the Op… names
	Class    Class
	Key      string // of a listing, the prefix; of a bulk delete, the first key
	Bytes    int64  // of content, sent or received
	Start    time.Time
	Duration time.Duration
	Err      error // nil, or what the caller got; for a body, what ended it early
}

// Observe calls see after each request of b, from many goroutines at once. Put
// it below [Retry] to see every attempt.
func Observe(b Bucket, see func(Event)) Bucket { return &observer{Bucket: b, see: see} }

type observer struct {
	Bucket
	see func(Event)
}

func (o *observer) Unwrap() Bucket { return o.Bucket }

// begin returns a function that reports the end of a request.
func (o *observer) begin(op string, class Class, key string) func(bytes int64, err error) {
	start := time.Now()
	return func(bytes int64, err error) {
		o.see(Event{Op: op, Class: class, Key: key, Bytes: bytes, Start: start, Duration: time.Since(start), Err: err})
	}
}

func (o *observer) Head(ctx context.Context, key string) (Info, error) {
	end := o.begin(OpHead, Control, key)
	info, err := o.Bucket.Head(ctx, key)
	end(0, err)
	return info, err
}

func (o *observer) Get(ctx context.Context, key string, opts GetOptions) (*Body, error) {
	end := o.begin(OpGet, Data, key)
	body, err := o.Bucket.Get(ctx, key, opts)
	if err != nil {
		end(0, err)
		return nil, err
	}
	body.ReadCloser = &observedBody{ReadCloser: body.ReadCloser, end: end}
	return body, nil
}

type observedBody struct {
	io.ReadCloser
	end    func(bytes int64, err error)
	bytes  int64
	err    error
	closed atomic.Bool
}

func (b *observedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.bytes += int64(n)
	if err != nil && err != io.EOF {
		b.err = err
	}
	return n, err
}

func (b *observedBody) Close() error {
	err := b.ReadCloser.Close()
	if !b.closed.Swap(true) {
		b.end(b.bytes, b.err)
	}
	return err
}

func (o *observer) ListPage(ctx context.Context, in ListInput) (Page, error) {
	end := o.begin(OpList, Control, in.Prefix)
	page, err := o.Bucket.ListPage(ctx, in)
	end(0, err)
	return page, err
}

func (o *observer) Put(ctx context.Context, key string, body io.ReadSeeker, opts PutOptions) (Info, error) {
	end := o.begin(OpPut, Data, key)
	info, err := o.Bucket.Put(ctx, key, body, opts)
	end(info.Size, err)
	return info, err
}

func (o *observer) Copy(ctx context.Context, src Source, dst string, opts CopyOptions) (Info, error) {
	end := o.begin(OpCopy, Control, dst)
	info, err := o.Bucket.Copy(ctx, src, dst, opts)
	end(0, err)
	return info, err
}

func (o *observer) Delete(ctx context.Context, targets ...Target) error {
	return inBatches(targets, func(batch []Target) error {
		end := o.begin(OpDelete, Control, batch[0].Key)
		err := o.Bucket.Delete(ctx, batch...)
		end(0, err)
		return err
	})
}

func (o *observer) NewUpload(ctx context.Context, key string, opts PutOptions) (Upload, error) {
	end := o.begin(OpNewUpload, Control, key)
	u, err := o.Bucket.NewUpload(ctx, key, opts)
	end(0, err)
	if err != nil {
		return nil, err
	}
	return &observedUpload{u, o}, nil
}

func (o *observer) ResumeUpload(ctx context.Context, key, id string, opts PutOptions) (Upload, error) {
	end := o.begin(OpListParts, Control, key)
	u, err := o.Bucket.ResumeUpload(ctx, key, id, opts)
	end(0, err)
	if err != nil {
		return nil, err
	}
	return &observedUpload{u, o}, nil
}

func (o *observer) ListUploads(ctx context.Context, prefix string) ([]PendingUpload, error) {
	end := o.begin(OpListUploads, Control, prefix)
	list, err := o.Bucket.ListUploads(ctx, prefix)
	end(0, err)
	return list, err
}

type observedUpload struct {
	Upload
	o *observer
}

func (u *observedUpload) Part(ctx context.Context, n int, body io.ReadSeeker) (Part, error) {
	end := u.o.begin(OpPart, Data, u.Key())
	p, err := u.Upload.Part(ctx, n, body)
	end(p.Size, err)
	return p, err
}

func (u *observedUpload) CopyPart(ctx context.Context, n int, src Source, r Range) (Part, error) {
	end := u.o.begin(OpCopyPart, Control, u.Key())
	p, err := u.Upload.CopyPart(ctx, n, src, r)
	end(0, err)
	return p, err
}

func (u *observedUpload) Complete(ctx context.Context) (Info, error) {
	end := u.o.begin(OpCompleteUpload, Control, u.Key())
	info, err := u.Upload.Complete(ctx)
	end(0, err)
	return info, err
}

func (u *observedUpload) Abort(ctx context.Context) error {
	end := u.o.begin(OpAbortUpload, Control, u.Key())
	err := u.Upload.Abort(ctx)
	end(0, err)
	return err
}
