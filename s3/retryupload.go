package s3

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
)

func (r *retrier) NewUpload(ctx context.Context, key string, o PutOptions) (Upload, error) {
	nonce := newNonce()
	o.Attributes = withNonce(o.Attributes, nonce)
	began, unanswered := r.cfg.Now(), false
	u, err := repeat(ctx, r, OpNewUpload, key, func() (Upload, error) {
		u, err := r.b.NewUpload(ctx, key, o)
		unanswered = unanswered || errors.Is(err, ErrUnavailable) || errors.Is(err, ErrThrottled)
		return u, err
	})
	if err != nil {
		return nil, err
	}
	if unanswered {
		r.tellUnanswered(key, r.abortUnanswered(ctx, u, r.cfg.Now().Sub(began)))
	}
	return &retryingUpload{Upload: u, r: r, mine: byNonce(nonce)}, nil
}

// ResumeUpload cannot know the nonce that the upload was begun with.
func (r *retrier) ResumeUpload(ctx context.Context, key, id string, o PutOptions) (Upload, error) {
	u, err := repeat(ctx, r, OpListParts, key, func() (Upload, error) { return r.b.ResumeUpload(ctx, key, id, o) })
	if err != nil {
		return nil, err
	}
	mine := func(_ context.Context, found Info) bool { return found.ETag == multipartETag(u.Parts()) }
	return &retryingUpload{Upload: u, r: r, mine: mine}, nil
}

type retryingUpload struct {
	Upload
	r    *retrier
	mine func(ctx context.Context, found Info) bool
}

func (u *retryingUpload) Part(ctx context.Context, n int, body io.ReadSeeker) (Part, error) {
	start, err := body.Seek(0, io.SeekCurrent)
	if err != nil {
		return Part{}, &Error{Op: OpPart, Key: u.Key(), Kind: ErrInvalid, Err: err}
	}
	return u.part(ctx, OpPart, func() (Part, error) {
		if _, err := body.Seek(start, io.SeekStart); err != nil {
			return Part{}, &Error{Op: OpPart, Key: u.Key(), Kind: ErrInvalid, Err: err}
		}
		return u.Upload.Part(ctx, n, body)
	})
}

func (u *retryingUpload) CopyPart(ctx context.Context, n int, src Source, r Range) (Part, error) {
	return u.part(ctx, OpCopyPart, func() (Part, error) { return u.Upload.CopyPart(ctx, n, src, r) })
}

// part sends a part, which may be done any number of times.
func (u *retryingUpload) part(ctx context.Context, op string, call func() (Part, error)) (Part, error) {
	var p Part
	err := u.r.do(ctx, op, u.Key(), u.r.cfg.UploadPatience, func() (err error) {
		p, err = call()
		return err
	})
	return p, err
}

func (u *retryingUpload) Complete(ctx context.Context) (Info, error) {
	w := write{r: u.r, op: OpCompleteUpload, key: u.Key(), mine: u.mine}
	return w.do(ctx, func() (Info, error) { return u.Upload.Complete(ctx) })
}

func (u *retryingUpload) Abort(ctx context.Context) error {
	return u.r.do(ctx, OpAbortUpload, u.Key(), u.r.cfg.Patience, func() error { return u.Upload.Abort(ctx) })
}

// multipartETag is the ETag that S3 gives an object made of parts: the MD5 of
// their MD5s, and their number. It is "" if their ETags are no MD5s.
func multipartETag(parts []Part) string {
	h := md5.New()
	for _, p := range parts {
		sum, err := hex.DecodeString(strings.Trim(p.ETag, `"`))
		if err != nil || len(sum) != md5.Size {
			return ""
		}
		h.Write(sum)
	}
	return fmt.Sprintf(`"%x-%d"`, h.Sum(nil), len(parts))
}
