package cors

import "slices"

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
// rule doesn't.
type Rule struct {
	ID             string   // optional
	AllowedHeaders []string // request headers; one * each, any case
	AllowedMethods []string
	AllowedOrigins []string // one * each, exact case
	ExposeHeaders  []string // response headers that a page may read
	MaxAgeSeconds  *int32   // how long a browser may remember the preflight; nil leaves it to the browser
}

// clone copies a rule so that changing the copy's lists leaves r alone.
func (r Rule) clone() Rule {
	r.AllowedHeaders = slices.Clone(r.AllowedHeaders)
	r.AllowedMethods = slices.Clone(r.AllowedMethods)
	r.AllowedOrigins = slices.Clone(r.AllowedOrigins)
	r.ExposeHeaders = slices.Clone(r.ExposeHeaders)
	return r
}

func cloneAll(rules []Rule) []Rule {
	out := make([]Rule, len(rules))
	for i, r := range rules {
		out[i] = r.clone()
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
