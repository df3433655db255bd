package cors

import (
	"slices"

	"github.com/cgs3fs/cgs3fs/s3"
)

// Limits of a CORS configuration, from the API reference of PutBucketCors.
const (
	MaxRules    = 100
	MaxID       = 255      // characters
	MaxDocument = 64 << 10 // bytes, of the XML that S3 stores
)

// Methods are the methods a rule may allow, in the order they are listed to
// people.
func Methods() []string { return []string{"GET", "HEAD", "PUT", "POST", "DELETE"} }

// Rule is one CORS rule. The order of rules matters, that of values within a
// rule doesn't. Origins and request headers may have one * each; origins are
// compared in exact case, header names in any.
type Rule = s3.CORSRule

// clone copies a rule so that changing the copy's lists leaves r alone.
func clone(r Rule) Rule {
	r.AllowedHeaders = slices.Clone(r.AllowedHeaders)
	r.AllowedMethods = slices.Clone(r.AllowedMethods)
	r.AllowedOrigins = slices.Clone(r.AllowedOrigins)
	r.ExposeHeaders = slices.Clone(r.ExposeHeaders)
	return r
}

func cloneAll(rules []Rule) []Rule {
	out := make([]Rule, len(rules))
	for i, r := range rules {
		out[i] = clone(r)
	}
	return out
}

// Equal tells whether two configurations print the same.
func Equal(a, b []Rule) bool {
	return slices.EqualFunc(a, b, func(x, y Rule) bool {
		return x.ID == y.ID &&
			slices.Equal(x.AllowedHeaders, y.AllowedHeaders) &&
			slices.Equal(x.AllowedMethods, y.AllowedMethods) &&
			slices.Equal(x.AllowedOrigins, y.AllowedOrigins) &&
			slices.Equal(x.ExposeHeaders, y.ExposeHeaders) &&
			equalAge(x.MaxAgeSeconds, y.MaxAgeSeconds)
	})
}

func equalAge(a, b *int32) bool {
	if a == nil || b == nil {
		return a == b
	}
	return *a == *b
}

// Same tells whether two configurations mean the same: the same rules in the
// same order, whatever the order of the values in them.
func Same(a, b []Rule) bool {
	return slices.EqualFunc(a, b, func(x, y Rule) bool {
		return x.ID == y.ID &&
			sameSet(lower(x.AllowedHeaders), lower(y.AllowedHeaders)) &&
			sameSet(x.AllowedMethods, y.AllowedMethods) &&
			sameSet(x.AllowedOrigins, y.AllowedOrigins) &&
			sameSet(lower(x.ExposeHeaders), lower(y.ExposeHeaders)) &&
			equalAge(x.MaxAgeSeconds, y.MaxAgeSeconds)
	})
}
