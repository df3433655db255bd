package s3

import "context"

// The rest of what a bucket can, observed like everything else.

// observed runs call on the T that o wraps.
func observed[T, V any](o *observer, op, key string, call func(T) (V, error)) (V, error) {
	t, ok := As[T](o.Bucket)
	if !ok {
		var none V
		return none, &Error{Op: op, Key: key, Kind: ErrUnsupported}
	}
	end := o.begin(op, Control, key)
	v, err := call(t)
	end(0, err)
	return v, err
}

func (o *observer) GetCORS(ctx context.Context) ([]CORSRule, error) {
	return observed(o, OpGetCORS, "", func(b CORS) ([]CORSRule, error) { return b.GetCORS(ctx) })
}

func (o *observer) PutCORS(ctx context.Context, rules []CORSRule) error {
	_, err := observed(o, OpPutCORS, "", func(b CORS) (struct{}, error) { return struct{}{}, b.PutCORS(ctx, rules) })
	return err
}

func (o *observer) DeleteCORS(ctx context.Context) error {
	_, err := observed(o, OpDeleteCORS, "", func(b CORS) (struct{}, error) { return struct{}{}, b.DeleteCORS(ctx) })
	return err
}

func (o *observer) GetTags(ctx context.Context, key, versionID string) (map[string]string, error) {
	return observed(o, OpGetTags, key, func(b Tags) (map[string]string, error) { return b.GetTags(ctx, key, versionID) })
}

func (o *observer) PutTags(ctx context.Context, key, versionID string, tags map[string]string) error {
	_, err := observed(o, OpPutTags, key, func(b Tags) (struct{}, error) {
		return struct{}{}, b.PutTags(ctx, key, versionID, tags)
	})
	return err
}

func (o *observer) Versioning(ctx context.Context) (VersioningState, error) {
	return observed(o, OpGetVersioning, "", func(b Versions) (VersioningState, error) { return b.Versioning(ctx) })
}

func (o *observer) SetVersioning(ctx context.Context, state VersioningState) error {
	_, err := observed(o, OpPutVersioning, "", func(b Versions) (struct{}, error) {
		return struct{}{}, b.SetVersioning(ctx, state)
	})
	return err
}

func (o *observer) ListVersions(ctx context.Context, in VersionsInput) (VersionsPage, error) {
	return observed(o, OpListVersions, in.Prefix, func(b Versions) (VersionsPage, error) { return b.ListVersions(ctx, in) })
}

func (o *observer) Public(ctx context.Context) (bool, error) {
	return observed(o, OpGetPolicy, "", func(b Policy) (bool, error) { return b.Public(ctx) })
}
