package creds

import (
	"fmt"
	"slices"
	"strings"
)

// pick chooses among the candidates of one source by --service and --bucket.
func (r Request) pick(all []candidate, named bool) (candidate, error) {
	if r.Service != "" {
		matching := slices.DeleteFunc(slices.Clone(all), func(c candidate) bool {
			return c.Service != r.Service && c.Key != r.Service
		})
		if len(matching) == 0 && !named {
			return candidate{}, notHere("no service %s among %s", r.Service, listed(all))
		}
		if len(matching) == 0 && !(len(all) == 1 && all[0].Service == "") {
			return candidate{}, &Error{
				Kind: ErrNotFound, Text: "no S3 service " + r.Service + " here, but", Candidates: candidates(all),
				Advice: "give one of these as --service",
			}
		}
		if len(matching) > 0 {
			all = matching
		}
	}
	if r.Bucket != "" {
		return r.pickBucket(all, named)
	}
	if len(all) > 1 {
		return candidate{}, &Error{
			Kind: ErrAmbiguous, Text: fmt.Sprintf("%d S3 services could be meant", len(all)), Candidates: candidates(all),
			Advice: "name one with --service, or a bucket with --bucket",
		}
	}
	c := all[0]
	if c.Bucket == "" {
		return candidate{}, &Error{Kind: ErrNotFound, Text: c.Source + ": the credentials name no bucket", Advice: "name it with --bucket"}
	}
	return c, nil
}

// pickBucket chooses the candidate that opens the wanted bucket.
func (r Request) pickBucket(all []candidate, named bool) (candidate, error) {
	at := slices.IndexFunc(all, func(c candidate) bool { return c.Bucket == r.Bucket })
	if at < 0 {
		at = slices.IndexFunc(all, func(c candidate) bool { return c.opens(r.Bucket) })
	}
	if at < 0 && len(all) == 1 && (named || all[0].Bucket == "") {
		at = 0
	}
	if at < 0 {
		if !named {
			return candidate{}, notHere("no bucket %s among %s", r.Bucket, listed(all))
		}
		return candidate{}, &Error{
			Kind: ErrNotFound, Text: "no S3 service here has the bucket " + r.Bucket + ", but", Candidates: candidates(all),
			Advice: "name the service whose key opens it with --service",
		}
	}
	c := all[at]
	if c.Bucket != r.Bucket {
		c.AdditionalBuckets = append(slices.DeleteFunc(slices.Clone(c.AdditionalBuckets),
			func(b string) bool { return b == r.Bucket || b == "" }), c.Bucket)
		c.AdditionalBuckets = slices.DeleteFunc(c.AdditionalBuckets, func(b string) bool { return b == "" })
		c.Bucket, c.Plan = r.Bucket, "" // the plan is that of the other bucket
	}
	return c, nil
}

func candidates(all []candidate) []Candidate {
	out := make([]Candidate, len(all))
	for i, c := range all {
		out[i] = c.describe()
	}
	return out
}

func listed(all []candidate) string {
	var names []string
	for _, c := range all {
		names = append(names, c.describe().String())
	}
	return strings.Join(names, ", ")
}
