package s3

import (
	"context"
	"errors"
	"io"
)

func (r *retrier) Get(ctx context.Context, key string, o GetOptions) (*Body, error) {
	body, err := repeat(ctx, r, OpGet, key, func() (*Body, error) { return r.b.Get(ctx, key, o) })
	if err != nil {
		return nil, err
	}
	body.Info = withoutNonce(body.Info)
	b := &resumingBody{r: r, ctx: ctx, key: key, etag: body.Info.ETag, version: o.VersionID, body: body.ReadCloser, rest: body.Range}
	return &Body{ReadCloser: b, Info: body.Info, Range: body.Range}, nil
}

// resumingBody delivers a run of bytes of one version of an object, with as
// many requests as that takes.
type resumingBody struct {
	r       *retrier
	ctx     context.Context // the Get's
	key     string
	etag    string
	version string

	body io.ReadCloser // nil after a failure, until continued
	rest Range         // not yet delivered
	try  *tries        // since the last byte arrived; nil if all is well
	err  error         // the end
}

func (b *resumingBody) Read(p []byte) (int, error) {
	for b.err == nil {
		if b.body == nil {
			b.err = b.resume()
			continue
		}
		n, err := b.body.Read(p)
		if n > 0 {
			b.rest.Offset, b.rest.Length, b.try = b.rest.Offset+int64(n), b.rest.Length-int64(n), nil
		}
		if err != nil {
			b.failed(err)
		}
		if n > 0 || len(p) == 0 {
			return n, nil
		}
	}
	return 0, b.err
}

// failed decides what an error, or the end, of the current body means.
func (b *resumingBody) failed(err error) {
	switch {
	case err == io.EOF:
		b.err = io.EOF
	case b.rest.Length == 0 && !errors.Is(err, ErrCorrupt):
		b.err = io.EOF // all is there, only the end of the answer is not
	case !errors.Is(err, ErrUnavailable) && !errors.Is(err, ErrThrottled), b.etag == "":
		b.err = err // ErrCorrupt, too: what came before it was delivered already
	default:
		b.body.Close()
		b.body = nil
		if b.try == nil {
			b.try = b.r.tries(b.ctx, OpGet, b.key, b.r.cfg.Patience)
		}
		if !b.try.again(&err) {
			b.err = err
		}
	}
}

// resume asks for the rest of the same version.
func (b *resumingBody) resume() error {
	o := GetOptions{Range: b.rest, IfMatch: b.etag, VersionID: b.version}
	for {
		err := b.try.try(func() error {
			body, err := b.r.b.Get(b.ctx, b.key, o)
			if err != nil {
				return err
			}
			if body.Range != b.rest || body.Info.ETag != b.etag {
				body.Close()
				return &Error{Op: OpGet, Key: b.key, Kind: ErrChanged, Err: errors.New("the server continues with something else")}
			}
			b.body = body.ReadCloser
			return nil
		})
		if err == nil {
			return nil
		}
		if !b.try.again(&err) {
			return err
		}
	}
}

func (b *resumingBody) Close() error {
	if b.err == nil || b.err == io.EOF {
		b.err = &Error{Op: OpGet, Key: b.key, Kind: ErrCanceled, Err: errors.New("the body was closed")}
	}
	if b.body == nil {
		return nil
	}
	return b.body.Close()
}
