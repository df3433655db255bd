package creds

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// Binding is a bucket and the right to use it. It may be copied, printed,
// logged and marshalled: none of that shows a secret.
type Binding struct {
	Bucket             string
	Prefix             string                  // keys below it are meant; empty or ending in "/"
	Region             string                  // empty where nobody told
	Endpoint           string                  // URL of the server; empty is AWS's own for the region
	PathStyle          bool                    // https://server/bucket/key, not https://bucket.server/key
	InsecureSkipVerify bool                    // the broker says that the server's certificate can't be checked
	AdditionalBuckets  []string                // other buckets that the same key opens
	Source             string                  // where it was found, for people: "VCAP_SERVICES, service cfs3-s3"
	Service            string                  // name of the service instance
	Plan               string                  // its plan, such as "basic-public"
	Key                string                  // name of the service key, or of the app whose binding it is
	Org, Space         string                  // where the service was found
	Fresh              bool                    // the key was made just now; S3 may need half a minute to know it
	Credentials        aws.CredentialsProvider // a *Provider
}

// Public tells whether the service plan makes every object world-readable, as
// Cloud.gov's plans basic-public and basic-public-sandbox do.
func (b Binding) Public() bool { return publicPlan(b.Plan) }

// Refresh asks the binding's source for newer credentials; see
// [Provider.Refresh].
func (b Binding) Refresh(ctx context.Context) error {
	p, ok := b.Credentials.(*Provider)
	if !ok {
		return &Error{Kind: ErrNoRefresh, Text: "these credentials have no source to ask again"}
	}
	return p.Refresh(ctx)
}

// plain is a Binding without its credentials.
type plain struct {
	Bucket             string   `json:"bucket"`
	Prefix             string   `json:"prefix,omitempty"`
	Region             string   `json:"region,omitempty"`
	Endpoint           string   `json:"endpoint,omitempty"`
	PathStyle          bool     `json:"path_style,omitempty"`
	InsecureSkipVerify bool     `json:"insecure_skip_verify,omitempty"`
	AdditionalBuckets  []string `json:"additional_buckets,omitempty"`
	Source             string   `json:"source,omitempty"`
	Service            string   `json:"service,omitempty"`
	Plan               string   `json:"plan,omitempty"`
	Key                string   `json:"key,omitempty"`
	Org                string   `json:"org,omitempty"`
	Space              string   `json:"space,omitempty"`
}

// MarshalJSON leaves the credentials out.
func (b Binding) MarshalJSON() ([]byte, error) {
	return json.Marshal(plain{
		Bucket: b.Bucket, Prefix: b.Prefix, Region: b.Region, Endpoint: b.Endpoint,
		PathStyle: b.PathStyle, InsecureSkipVerify: b.InsecureSkipVerify,
		AdditionalBuckets: b.AdditionalBuckets, Source: b.Source, Service: b.Service,
		Plan: b.Plan, Key: b.Key, Org: b.Org, Space: b.Space,
	})
}

// String names the bucket and where it was found.
func (b Binding) String() string {
	if b.Source == "" {
		return b.Bucket
	}
	return fmt.Sprintf("%s (%s)", b.Bucket, b.Source)
}

// Format prints String for every verb, so that %#v and %d show no secret either.
func (b Binding) Format(f fmt.State, _ rune) { fmt.Fprint(f, b.String()) }

// LogValue logs the binding without its credentials.
func (b Binding) LogValue() slog.Value {
	return slog.GroupValue(
		slog.String("bucket", b.Bucket),
		slog.String("region", b.Region),
		slog.String("endpoint", b.Endpoint),
		slog.String("source", b.Source),
	)
}

// opens tells whether the binding's key is known to open the bucket.
func (b Binding) opens(bucket string) bool {
	return b.Bucket == bucket || slices.Contains(b.AdditionalBuckets, bucket)
}
