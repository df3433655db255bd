package creds

import (
	"net/url"
	"slices"
	"sort"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// fields are what the credentials of one service say about a bucket.
type fields struct {
	access, secret, token string
	bucket                string
	additional            []string
	region                string
	endpoint              string // as the broker gives it, with or without a scheme
	fips                  string // likewise
	skipVerify            bool
	storage               bool // it is object storage, not another service of AWS that has keys too
}

func (f fields) credentials(source string) aws.Credentials {
	return aws.Credentials{
		AccessKeyID: f.access, SecretAccessKey: f.secret, SessionToken: f.token, Source: source,
	}
}

// The names of the fields, folded by foldName, best first. They are those of
// Cloud.gov's broker since 2016, cloudfoundry-community/s3-broker, the Cloud
// Service Broker, VMware's and GOV.UK's brokers, the Java s3-cf-service-broker,
// Swisscom's dynstrg, and of AWS's environment variables.
type fieldNames []string

func accessNames() fieldNames {
	return fieldNames{"accesskeyid", "awsaccesskeyid", "accesskey", "awsaccesskey"}
}

func secretNames() fieldNames {
	return fieldNames{"secretaccesskey", "awssecretaccesskey", "secretkey", "awssecretkey", "sharedsecret"}
}

func tokenNames() fieldNames { return fieldNames{"sessiontoken", "awssessiontoken"} }

func bucketNames() fieldNames { return fieldNames{"bucket", "bucketname", "s3bucket"} }

func regionNames() fieldNames { return fieldNames{"region", "awsregion", "awsdefaultregion"} }

func endpointNames() fieldNames {
	return fieldNames{"endpoint", "endpointurl", "awsendpointurls3", "awsendpointurl", "host", "accesshost"}
}

// othersNames are fields that S3 credentials don't have and databases,
// queues and mail servers do. With one of them a username, a password and a
// name are not an access key, a secret and a bucket.
func othersNames() fieldNames {
	return fieldNames{
		"host", "hostname", "hosts", "port", "ports", "db", "dbname", "database", "databasename",
		"jdbcurl", "jdbcuri", "connectionstring", "vhost", "virtualhost", "protocols", "replicaset",
	}
}

// readFields reads the credentials of one service. isS3 says that the service's
// label or tags call it S3. The answer is false for what has no access key. The
// bucket may be empty, as Swisscom's is: then the user must name one.
func readFields(credentials map[string]any, isS3 bool) (fields, bool) {
	m := foldAll(credentials)
	f := fields{
		access:     m.first(accessNames()),
		secret:     m.first(secretNames()),
		token:      m.first(tokenNames()),
		bucket:     m.first(bucketNames()),
		region:     m.first(regionNames()),
		endpoint:   m.first(endpointNames()),
		fips:       m.first(fieldNames{"fipsendpoint"}),
		additional: stringList(m["additionalbuckets"]),
		skipVerify: truth(m["insecureskipverify"]),
	}
	uri := m.first(fieldNames{"uri", "url"})
	fromURI := f.fillFromURI(uri)
	if !fromURI {
		f.fillFromWeakNames(m, isS3)
	}
	if f.access == "" || f.secret == "" {
		return fields{}, false
	}
	if strings.HasPrefix(uri, "https://") || strings.HasPrefix(uri, "http://") {
		fill(&f.endpoint, uri) // what people call the endpoint in services of their own
	}
	f.storage = isS3 || f.bucket != "" || m.first(fieldNames{"accesshost", "namespacehost"}) != ""
	return f, true
}

// fillFromURI completes f from "s3://ID:SECRET@HOST/BUCKET", in which the
// secret is escaped as in a query. It reports whether s is such a URI.
func (f *fields) fillFromURI(s string) bool {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "s3" || u.User == nil {
		return false
	}
	secret, _ := u.User.Password()
	fill(&f.access, u.User.Username())
	fill(&f.secret, secret)
	fill(&f.bucket, strings.Trim(u.Path, "/"))
	fill(&f.endpoint, u.Host)
	return true
}

// fillFromWeakNames completes f from username, password and name, as the broker
// of 2016-07 called them. So do databases, hence the conditions.
func (f *fields) fillFromWeakNames(m folded, isS3 bool) {
	for _, name := range othersNames() {
		if _, there := m[name]; there {
			return
		}
	}
	if m.first(fieldNames{"uri", "url"}) != "" {
		return
	}
	weak := *f
	fill(&weak.access, m.first(fieldNames{"username"}))
	fill(&weak.secret, m.first(fieldNames{"password"}))
	fill(&weak.bucket, m.first(fieldNames{"name"}))
	known := isS3 || f.access != "" || f.secret != "" || f.bucket != "" ||
		strings.HasPrefix(weak.access, "AKIA") || strings.HasPrefix(weak.access, "ASIA")
	if known && weak.access != "" && weak.secret != "" && weak.bucket != "" {
		*f = weak
	}
}

func fill(field *string, value string) {
	if *field == "" {
		*field = value
	}
}

// folded is a JSON object by folded field names.
type folded map[string]any

// foldName makes "accessKeyId", "ACCESS_KEY_ID" and "access-key-id" the same.
func foldName(name string) string {
	return strings.NewReplacer("_", "", "-", "").Replace(strings.ToLower(name))
}

// foldAll folds the names of m. Of two that fold alike the one that sorts first
// and is not empty wins, so that the answer is always the same.
func foldAll(m map[string]any) folded {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	sort.Strings(names)
	out := make(folded, len(m))
	for _, name := range names {
		key := foldName(name)
		if old, there := out[key]; !there || old == nil || old == "" {
			out[key] = m[name]
		}
	}
	return out
}

// first returns the first of the named fields that is a string and not empty.
func (m folded) first(names fieldNames) string {
	for _, name := range names {
		if s, ok := m[name].(string); ok && strings.TrimSpace(s) != "" {
			return strings.TrimSpace(s)
		}
	}
	return ""
}

// stringList reads a JSON list of strings; anything else in it is left out.
func stringList(v any) []string {
	list, _ := v.([]any)
	var out []string
	for _, item := range list {
		if s, ok := item.(string); ok && s != "" {
			out = append(out, s)
		}
	}
	slices.Sort(out) // the broker's order is random
	return out
}

func truth(v any) bool {
	s, isString := v.(string)
	return v == true || isString && strings.EqualFold(s, "true")
}

// IsS3 tells whether the name or the tags of a service of the marketplace call
// it S3 object storage.
func IsS3(label string, tags []string) bool {
	for _, part := range strings.FieldsFunc(strings.ToLower(label), func(r rune) bool { return r == '-' || r == '_' || r == '.' || r == ' ' }) {
		if part == "s3" || part == "dynstrg" {
			return true
		}
	}
	return slices.ContainsFunc(tags, func(tag string) bool {
		tag = strings.ToLower(tag)
		return tag == "s3" || tag == "object-storage" || tag == "objectstorage"
	})
}

// publicPlan tells whether a plan's name says that its buckets are public.
func publicPlan(plan string) bool { return strings.Contains(strings.ToLower(plan), "public") }
