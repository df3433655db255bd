package creds

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// candidate is a binding that may be the one that is meant, with its keys still
// beside it.
type candidate struct {
	Binding
	keys aws.Credentials

	// again asks where it came from for it as it is now, with a key that was not
	// rejected if there is one. It is nil where nothing can change while the
	// program runs.
	again func(ctx context.Context, rejected keyring) (candidate, error)
}

// search looks for candidates in one place.
type search func(context.Context) ([]candidate, error)

// repeatable runs a search so that each candidate can be found again by the same
// search, by its service and bucket.
func repeatable(ctx context.Context, look search) ([]candidate, error) {
	found, err := look(ctx)
	for i, c := range found {
		found[i].again = func(ctx context.Context, rejected keyring) (candidate, error) {
			fresh, err := look(ctx)
			if err != nil {
				return candidate{}, err
			}
			fresh = slices.DeleteFunc(fresh, func(f candidate) bool { return f.Service != c.Service || f.Bucket != c.Bucket })
			if len(fresh) == 0 {
				return candidate{}, moved(c)
			}
			at := slices.IndexFunc(fresh, func(f candidate) bool { return !rejected.has(f.keys) })
			return fresh[max(at, 0)], nil
		}
	}
	return found, err
}

// moved is the error when the source of a bucket names another one, or none.
func moved(c candidate) error {
	return &Error{
		Kind: ErrNotFound, Text: fmt.Sprintf("%s no longer names the bucket %s", c.Source, c.Bucket),
		Advice: "was the service made anew? then unmount and mount again",
	}
}

func (c candidate) describe() Candidate {
	name := c.Service
	if name == "" {
		name = c.Bucket
	}
	return Candidate{Service: name, Plan: c.Plan, Bucket: c.Bucket}
}

// candidates picks the buckets out of a document. Where there is none, the error
// says why, as far as the document tells.
func (d document) candidates(source string) ([]candidate, error) {
	var found []candidate
	credhub := ""
	for _, s := range d.services {
		isS3 := IsS3(s.label, s.tags)
		if _, ref := s.credentials["credhub-ref"]; ref && (isS3 || s.label == "") {
			credhub = s.name
			continue
		}
		c, ok, err := s.candidate(source, isS3)
		if err != nil {
			return nil, err
		}
		if ok && !slices.ContainsFunc(found, c.same) {
			found = append(found, c)
		}
	}
	if len(found) > 0 {
		return found, nil
	}
	return nil, d.whyNone(source, credhub)
}

// withReferences tells whether credentials are kept in CredHub.
func (d document) withReferences() bool {
	return slices.ContainsFunc(d.services, func(s service) bool { return s.credentials["credhub-ref"] != nil })
}

func (s service) candidate(source string, isS3 bool) (candidate, bool, error) {
	f, ok := readFields(s.credentials, isS3)
	if !ok || !f.storage && s.label != "" {
		return candidate{}, false, nil
	}
	if s.name != "" {
		source += ", service " + s.name
	}
	a, err := resolveAddress(f)
	if err != nil {
		return candidate{}, false, fmt.Errorf("%s: %w", source, err)
	}
	if err := checkFields(f); err != nil {
		return candidate{}, false, fmt.Errorf("%s: %w", source, err)
	}
	return candidate{
		Binding: Binding{
			Bucket: f.bucket, Region: a.region, Endpoint: a.endpoint, PathStyle: a.pathStyle,
			InsecureSkipVerify: f.skipVerify, AdditionalBuckets: f.additional,
			Source: source, Service: s.name, Plan: s.plan, Key: s.bindingName,
		},
		keys: f.credentials(source),
	}, true, nil
}

// same tells whether two candidates are one binding shown twice.
func (c candidate) same(d candidate) bool {
	return c.Bucket == d.Bucket && c.Service == d.Service && c.Endpoint == d.Endpoint &&
		c.keys.AccessKeyID == d.keys.AccessKeyID
}

func (d document) whyNone(source, credhub string) error {
	hint := "use a service key: cf create-service-key SERVICE KEY, then --service SERVICE"
	switch {
	case d.redacted:
		return &Error{
			Kind: ErrDenied, Text: source + ": the credentials are hidden from this user",
			Advice: "a Space Developer of the space can see them; ask a Space Manager for the role",
		}
	case credhub != "":
		return invalid(hint, "%s: service %s keeps its credentials in CredHub, where only the app can read them", source, credhub)
	case d.fileBased:
		return invalid(hint, "%s: the app reads its credentials from files, so they are not shown", source)
	case len(d.messages) > 0:
		return invalid("", "%s: the text is an error of Cloud Foundry: %s", source, oneLine(d.messages[0]))
	}
	return notHere("%s has no S3 service", source)
}

// checkFields refuses what can't be sent in a request.
func checkFields(f fields) error {
	bad := func(s string) bool {
		return strings.ContainsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) || r == unicode.ReplacementChar })
	}
	hint := "compare with the output of cf service-key"
	switch {
	case bad(f.access) || bad(f.secret) || bad(f.token):
		return invalid(hint, "the key has characters that no key has")
	case bad(f.bucket) || strings.Contains(f.bucket, "/") || len(f.bucket) > 255:
		return invalid(hint, "the bucket's name is not one")
	case bad(f.region) || strings.ContainsAny(f.region, "/:@?#"):
		return invalid(hint, "the region's name is not one")
	}
	return nil
}

// oneLine makes a line of a text from elsewhere, of at most 300 bytes.
func oneLine(s string) string {
	s = strings.Join(strings.FieldsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }), " ")
	if len(s) > 300 {
		s = strings.ToValidUTF8(s[:300], "") + "…"
	}
	return s
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
