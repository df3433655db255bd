package s3test

import (
	"context"

	"github.com/cgs3fs/cgs3fs/s3"
)

// What a bucket can beside objects, if the one below can; otherwise it is
// s3.ErrUnsupported.

// faultyExtra carries out a call on the T below f under its fault.
func faultyExtra[T, V any](ctx context.Context, f *Faulty, op, key string, call func(T) (V, error)) (v V, err error) {
	b, ok := s3.As[T](f.bucket)
	if !ok {
		return v, &s3.Error{Op: op, Key: key, Kind: s3.ErrUnsupported}
	}
	err = f.do(ctx, op, key, f.next(op, key), func() (err error) {
		v, err = call(b)
		return err
	})
	return orZero(v, err)
}

// GetCORS implements [s3.CORS].
func (f *Faulty) GetCORS(ctx context.Context) ([]s3.CORSRule, error) {
	return faultyExtra(ctx, f, s3.OpGetCORS, "", func(b s3.CORS) ([]s3.CORSRule, error) { return b.GetCORS(ctx) })
}

// PutCORS implements [s3.CORS].
func (f *Faulty) PutCORS(ctx context.Context, rules []s3.CORSRule) error {
	_, err := faultyExtra(ctx, f, s3.OpPutCORS, "", func(b s3.CORS) (struct{}, error) { return struct{}{}, b.PutCORS(ctx, rules) })
	return err
}

// DeleteCORS implements [s3.CORS].
func (f *Faulty) DeleteCORS(ctx context.Context) error {
	_, err := faultyExtra(ctx, f, s3.OpDeleteCORS, "", func(b s3.CORS) (struct{}, error) { return struct{}{}, b.DeleteCORS(ctx) })
	return err
}

// GetTags implements [s3.Tags].
func (f *Faulty) GetTags(ctx context.Context, key, versionID string) (map[string]string, error) {
	return faultyExtra(ctx, f, s3.OpGetTags, key, func(b s3.Tags) (map[string]string, error) {
		return b.GetTags(ctx, key, versionID)
	})
}

// PutTags implements [s3.Tags].
func (f *Faulty) PutTags(ctx context.Context, key, versionID string, tags map[string]string) error {
	_, err := faultyExtra(ctx, f, s3.OpPutTags, key, func(b s3.Tags) (struct{}, error) {
		return struct{}{}, b.PutTags(ctx, key, versionID, tags)
	})
	return err
}

// Versioning implements [s3.Versions].
func (f *Faulty) Versioning(ctx context.Context) (s3.VersioningState, error) {
	return faultyExtra(ctx, f, s3.OpGetVersioning, "", func(b s3.Versions) (s3.VersioningState, error) { return b.Versioning(ctx) })
}

// SetVersioning implements [s3.Versions].
func (f *Faulty) SetVersioning(ctx context.Context, state s3.VersioningState) error {
	_, err := faultyExtra(ctx, f, s3.OpPutVersioning, "", func(b s3.Versions) (struct{}, error) {
		return struct{}{}, b.SetVersioning(ctx, state)
	})
	return err
}

// ListVersions implements [s3.Versions].
func (f *Faulty) ListVersions(ctx context.Context, in s3.VersionsInput) (s3.VersionsPage, error) {
	return faultyExtra(ctx, f, s3.OpListVersions, in.Prefix, func(b s3.Versions) (s3.VersionsPage, error) {
		return b.ListVersions(ctx, in)
	})
}

// Public implements [s3.Policy].
func (f *Faulty) Public(ctx context.Context) (bool, error) {
	return faultyExtra(ctx, f, s3.OpGetPolicy, "", func(b s3.Policy) (bool, error) { return b.Public(ctx) })
}
