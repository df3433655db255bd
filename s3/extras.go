package s3

import "context"

// The interfaces in this file are what some buckets can beside [Bucket]. Find
// out with [As], which also sees through decorators. A server that lacks one
// answers ErrUnsupported, a key that may not use it gets ErrDenied.

// As returns the outermost of b and the buckets it wraps that is a T.
func As[T any](b Bucket) (T, bool) {
	for b != nil {
		if t, ok := b.(T); ok {
			return t, true
		}
		wrapper, ok := b.(interface{ Unwrap() Bucket })
		if !ok {
			break
		}
		b = wrapper.Unwrap()
	}
	var none T
	return none, false
}

// CORS is the bucket's cross-origin rules. A bucket without any is no error.
type CORS interface {
	GetCORS(ctx context.Context) ([]CORSRule, error)
	PutCORS(ctx context.Context, rules []CORSRule) error // replaces all
	DeleteCORS(ctx context.Context) error
}

// CORSRule is one rule as S3 keeps it. Nothing is checked here; package cors
// knows what makes sense.
type CORSRule struct {
	ID             string
	AllowedOrigins []string
	AllowedMethods []string
	AllowedHeaders []string
	ExposeHeaders  []string
	MaxAgeSeconds  *int32 // nil where the rule says nothing
}

// Tags is the tags of objects. VersionID may be empty.
type Tags interface {
	GetTags(ctx context.Context, key, versionID string) (map[string]string, error)
	PutTags(ctx context.Context, key, versionID string, tags map[string]string) error // replaces all
}

// Versions is the old versions of objects.
type Versions interface {
	Versioning(ctx context.Context) (VersioningState, error)
	SetVersioning(ctx context.Context, state VersioningState) error
	// ListVersions reads one page, by key and then newest first.
	ListVersions(ctx context.Context, in VersionsInput) (VersionsPage, error)
}

// VersioningState says whether a bucket keeps old versions. Empty is a bucket
// that never did.
type VersioningState string

// The states that S3 knows beside the empty one.
const (
	VersioningEnabled   VersioningState = "Enabled"
	VersioningSuspended VersioningState = "Suspended"
)

// Version is one version of an object, or a marker that it was deleted.
type Version struct {
	Object
	Latest  bool // the one that a plain Get sees, or would see were it no marker
	Deleted bool // a delete marker; only Key, LastModified and VersionID are set
}

// VersionsInput asks for one page of versions, as [ListInput] does of objects.
type VersionsInput struct {
	Prefix string
	Token  string // VersionsPage.Next of the page before
	Max    int    // 0 is MaxPage
}

// VersionsPage is one page of versions. Next is empty on the last page.
type VersionsPage struct {
	Versions []Version
	Next     string
}

// Policy is who else may use the bucket.
type Policy interface {
	// Public says whether anybody may read objects, by the bucket's policy.
	Public(ctx context.Context) (bool, error)
}
