package s3test

import (
	"context"
	"io"
	"slices"
	"sync"

	"github.com/cgs3fs/cgs3fs/s3"
)

// NewUpload implements [s3.Bucket].
func (f *Faulty) NewUpload(ctx context.Context, key string, o s3.PutOptions) (u s3.Upload, err error) {
	err = f.do(ctx, s3.OpNewUpload, key, f.next(s3.OpNewUpload, key), func() (err error) {
		u, err = f.bucket.NewUpload(ctx, key, o)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &faultyUpload{Upload: u, f: f, lost: map[int]bool{}}, nil
}

// ResumeUpload implements [s3.Bucket].
func (f *Faulty) ResumeUpload(ctx context.Context, key, id string, o s3.PutOptions) (u s3.Upload, err error) {
	err = f.do(ctx, s3.OpListParts, key, f.next(s3.OpListParts, key), func() (err error) {
		u, err = f.bucket.ResumeUpload(ctx, key, id, o)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &faultyUpload{Upload: u, f: f, lost: map[int]bool{}}, nil
}

// faultyUpload fails by its bucket's plan.
type faultyUpload struct {
	s3.Upload
	f *Faulty

	mu   sync.Mutex
	lost map[int]bool // guarded by mu; parts the server has, unknown to the client
}

func (u *faultyUpload) Part(ctx context.Context, n int, body io.ReadSeeker) (s3.Part, error) {
	fault := u.f.next(s3.OpPart, u.Key())
	return u.part(ctx, s3.OpPart, n, fault, func() (s3.Part, error) {
		body, err := fault.spoilRequest(s3.OpPart, u.Key(), body)
		if err != nil {
			return s3.Part{}, err
		}
		return u.Upload.Part(ctx, n, body)
	})
}

func (u *faultyUpload) CopyPart(ctx context.Context, n int, src s3.Source, r s3.Range) (s3.Part, error) {
	fault := u.f.next(s3.OpCopyPart, u.Key())
	return u.part(ctx, s3.OpCopyPart, n, fault, func() (s3.Part, error) {
		return u.Upload.CopyPart(ctx, n, src, r)
	})
}

func (u *faultyUpload) part(ctx context.Context, op string, n int, fault Fault, call func() (s3.Part, error)) (part s3.Part, err error) {
	applied := false
	err = u.f.do(ctx, op, u.Key(), fault, func() (err error) {
		part, err = call()
		applied = err == nil
		return err
	})
	u.mu.Lock()
	defer u.mu.Unlock()
	if applied {
		u.lost[n] = err != nil
	}
	return orZero(part, err)
}

// Parts leaves out those whose acknowledgement was dropped.
func (u *faultyUpload) Parts() []s3.Part {
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.DeleteFunc(u.Upload.Parts(), func(p s3.Part) bool { return u.lost[p.Number] })
}

func (u *faultyUpload) Complete(ctx context.Context) (info s3.Info, err error) {
	fault := u.f.next(s3.OpCompleteUpload, u.Key())
	err = u.f.do(ctx, s3.OpCompleteUpload, u.Key(), fault, func() (err error) {
		info, err = u.Upload.Complete(ctx)
		return err
	})
	return orZero(info, err)
}

func (u *faultyUpload) Abort(ctx context.Context) error {
	fault := u.f.next(s3.OpAbortUpload, u.Key())
	return u.f.do(ctx, s3.OpAbortUpload, u.Key(), fault, func() error { return u.Upload.Abort(ctx) })
}
