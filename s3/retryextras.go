package s3

import "context"

// The rest of what a bucket can, tried again like everything else.

// extra runs call on the T that r wraps.
func extra[T, V any](ctx context.Context, r *retrier, op, key string, call func(T) (V, error)) (V, error) {
	t, ok := As[T](r.b)
	if !ok {
		var none V
		return none, &Error{Op: op, Key: key, Kind: ErrUnsupported}
	}
	return repeat(ctx, r, op, key, func() (V, error) { return call(t) })
}

func (r *retrier) GetCORS(ctx context.Context) ([]CORSRule, error) {
	return extra(ctx, r, OpGetCORS, "", func(b CORS) ([]CORSRule, error) { return b.GetCORS(ctx) })
}

func (r *retrier) PutCORS(ctx context.Context, rules []CORSRule) error {
	_, err := extra(ctx, r, OpPutCORS, "", func(b CORS) (struct{}, error) { return struct{}{}, b.PutCORS(ctx, rules) })
	return err
}

func (r *retrier) DeleteCORS(ctx context.Context) error {
	_, err := extra(ctx, r, OpDeleteCORS, "", func(b CORS) (struct{}, error) { return struct{}{}, b.DeleteCORS(ctx) })
	return err
}

func (r *retrier) GetTags(ctx context.Context, key, versionID string) (map[string]string, error) {
	return extra(ctx, r, OpGetTags, key, func(b Tags) (map[string]string, error) { return b.GetTags(ctx, key, versionID) })
}

func (r *retrier) PutTags(ctx context.Context, key, versionID string, tags map[string]string) error {
	_, err := extra(ctx, r, OpPutTags, key, func(b Tags) (struct{}, error) {
		return struct{}{}, b.PutTags(ctx, key, versionID, tags)
	})
	return err
}

func (r *retrier) Versioning(ctx context.Context) (VersioningState, error) {
	return extra(ctx, r, OpGetVersioning, "", func(b Versions) (VersioningState, error) { return b.Versioning(ctx) })
}

func (r *retrier) SetVersioning(ctx context.Context, state VersioningState) error {
	_, err := extra(ctx, r, OpPutVersioning, "", func(b Versions) (struct{}, error) {
		return struct{}{}, b.SetVersioning(ctx, state)
	})
	return err
}

func (r *retrier) ListVersions(ctx context.Context, in VersionsInput) (VersionsPage, error) {
	return extra(ctx, r, OpListVersions, in.Prefix, func(b Versions) (VersionsPage, error) { return b.ListVersions(ctx, in) })
}

func (r *retrier) Public(ctx context.Context) (bool, error) {
	return extra(ctx, r, OpGetPolicy, "", func(b Policy) (bool, error) { return b.Public(ctx) })
}
