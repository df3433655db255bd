package s3test

import (
	"encoding/xml"
	"strings"

	"github.com/cgs3fs/cgs3fs/s3"
)

// The documents that S3 answers with, and those it is sent.

func named(name string) xml.Name { return xml.Name{Local: name} }

type copyResult struct {
	XMLName      xml.Name
	ETag         string
	LastModified string `xml:",omitempty"`
}

type deleteResult struct {
	XMLName xml.Name
	Error   []deleteFailure
}

type deleteFailure struct{ Key, Code, Message string }

type listResult struct {
	XMLName               xml.Name
	EncodingType          string `xml:",omitempty"`
	IsTruncated           bool
	NextContinuationToken string `xml:",omitempty"`
	Contents              []listEntry
	CommonPrefixes        []struct{ Prefix string }
}

type listEntry struct {
	Key          string
	Size         int64
	ETag         string
	LastModified string
	StorageClass string
}

func (q *exchange) list() error {
	in := s3.ListInput{
		Prefix: q.query.Get("prefix"), Delimiter: q.query.Get("delimiter"), StartAfter: q.query.Get("start-after"),
		Token: q.query.Get("continuation-token"), Max: q.number("max-keys"),
	}
	page, err := q.bucket.ListPage(q.Context(), in)
	if err != nil {
		return err
	}
	out := listResult{
		XMLName: named("ListBucketResult"), EncodingType: q.query.Get("encoding-type"),
		IsTruncated: page.Next != "", NextContinuationToken: page.Next,
	}
	for _, o := range page.Objects {
		class := o.StorageClass
		if class == "" {
			class = "STANDARD"
		}
		out.Contents = append(out.Contents, listEntry{q.encode(o.Key), o.Size, o.ETag, stamp(o.LastModified), class})
	}
	for _, p := range page.Prefixes {
		out.CommonPrefixes = append(out.CommonPrefixes, struct{ Prefix string }{q.encode(p)})
	}
	return q.document(out)
}

type versionsResult struct {
	XMLName                            xml.Name
	EncodingType                       string `xml:",omitempty"`
	IsTruncated                        bool
	NextKeyMarker, NextVersionIdMarker string `xml:",omitempty"`
	Version, DeleteMarker              []versionEntry
}

type versionEntry struct {
	Key, VersionId, LastModified, ETag string
	Size                               int64
	IsLatest                           bool
}

// listVersions uses the bucket's token as the version marker.
func (q *exchange) listVersions() error {
	b, err := the[s3.Versions](q)
	if err != nil {
		return err
	}
	in := s3.VersionsInput{Prefix: q.query.Get("prefix"), Token: q.query.Get("version-id-marker"), Max: q.number("max-keys")}
	page, err := b.ListVersions(q.Context(), in)
	if err != nil {
		return err
	}
	out := versionsResult{XMLName: named("ListVersionsResult"), EncodingType: q.query.Get("encoding-type")}
	if page.Next != "" {
		out.IsTruncated, out.NextKeyMarker, out.NextVersionIdMarker = true, "-", page.Next
	}
	for _, v := range page.Versions {
		e := versionEntry{q.encode(v.Key), v.VersionID, stamp(v.LastModified), v.ETag, v.Size, v.Latest}
		if v.Deleted {
			out.DeleteMarker = append(out.DeleteMarker, e)
		} else {
			out.Version = append(out.Version, e)
		}
	}
	return q.document(out)
}

type versioning struct {
	XMLName xml.Name
	Status  string `xml:",omitempty"`
}

func (q *exchange) getVersioning() error {
	b, err := the[s3.Versions](q)
	if err != nil {
		return err
	}
	state, err := b.Versioning(q.Context())
	if err != nil {
		return err
	}
	return q.document(versioning{named("VersioningConfiguration"), string(state)})
}

func (q *exchange) putVersioning() error {
	b, err := the[s3.Versions](q)
	if err != nil {
		return err
	}
	var in versioning
	if err := q.parse(&in); err != nil {
		return err
	}
	return b.SetVersioning(q.Context(), s3.VersioningState(in.Status))
}

type corsConfiguration struct {
	XMLName  xml.Name
	CORSRule []corsRule
}

type corsRule struct {
	ID            string   `xml:",omitempty"`
	AllowedOrigin []string `xml:",omitempty"`
	AllowedMethod []string `xml:",omitempty"`
	AllowedHeader []string `xml:",omitempty"`
	ExposeHeader  []string `xml:",omitempty"`
	MaxAgeSeconds *int32   `xml:",omitempty"`
}

func (q *exchange) getCORS() error {
	b, err := the[s3.CORS](q)
	if err != nil {
		return err
	}
	rules, err := b.GetCORS(q.Context())
	if err != nil {
		return err
	}
	if len(rules) == 0 {
		return refuse(s3.OpGetCORS, "", s3.ErrNotFound, "NoSuchCORSConfiguration", 404)
	}
	out := corsConfiguration{XMLName: named("CORSConfiguration")}
	for _, r := range rules {
		out.CORSRule = append(out.CORSRule, corsRule{r.ID, r.AllowedOrigins, r.AllowedMethods, r.AllowedHeaders, r.ExposeHeaders, r.MaxAgeSeconds})
	}
	return q.document(out)
}

func (q *exchange) putCORS() error {
	b, err := the[s3.CORS](q)
	if err != nil {
		return err
	}
	var in corsConfiguration
	if err := q.parse(&in); err != nil {
		return err
	}
	var rules []s3.CORSRule
	for _, r := range in.CORSRule {
		rules = append(rules, s3.CORSRule{
			ID: r.ID, AllowedOrigins: r.AllowedOrigin, AllowedMethods: r.AllowedMethod,
			AllowedHeaders: r.AllowedHeader, ExposeHeaders: r.ExposeHeader, MaxAgeSeconds: r.MaxAgeSeconds,
		})
	}
	return b.PutCORS(q.Context(), rules)
}

func (q *exchange) deleteCORS() error {
	b, err := the[s3.CORS](q)
	if err != nil {
		return err
	}
	return b.DeleteCORS(q.Context())
}

type tagging struct {
	XMLName xml.Name
	Tags    []tag `xml:"TagSet>Tag"`
}

type tag struct{ Key, Value string }

func (q *exchange) getTags() error {
	b, err := the[s3.Tags](q)
	if err != nil {
		return err
	}
	tags, err := b.GetTags(q.Context(), q.key, q.query.Get("versionId"))
	if err != nil {
		return err
	}
	out := tagging{XMLName: named("Tagging")}
	for k, v := range tags {
		out.Tags = append(out.Tags, tag{k, v})
	}
	return q.document(out)
}

func (q *exchange) putTags() error {
	b, err := the[s3.Tags](q)
	if err != nil {
		return err
	}
	var in tagging
	if err := q.parse(&in); err != nil {
		return err
	}
	tags := map[string]string{}
	for _, t := range in.Tags {
		tags[strings.TrimSpace(t.Key)] = t.Value
	}
	return b.PutTags(q.Context(), q.key, q.query.Get("versionId"), tags)
}

// the returns what the bucket can beside objects.
func the[T any](q *exchange) (T, error) {
	b, ok := s3.As[T](q.bucket)
	if !ok {
		return b, refuse("", q.key, s3.ErrUnsupported, "NotImplemented", 501)
	}
	return b, nil
}
