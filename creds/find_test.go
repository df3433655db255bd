package creds

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// request is one that finds nothing outside of the test.
func request(t testing.TB, env map[string]string) Request {
	t.Helper()
	home := t.TempDir()
	for name, value := range map[string]string{ // the SDK reads these itself
		"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": filepath.Join(home, "config"),
		"AWS_SHARED_CREDENTIALS_FILE": filepath.Join(home, "credentials"), "AWS_PROFILE": "",
		"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_SESSION_TOKEN": "", "AWS_REGION": "", "AWS_DEFAULT_REGION": "",
		"AWS_ENDPOINT_URL": "", "AWS_ENDPOINT_URL_S3": "", "AWS_WEB_IDENTITY_TOKEN_FILE": "", "AWS_ROLE_ARN": "",
	} {
		if tt, ok := t.(interface{ Setenv(string, string) }); ok {
			tt.Setenv(name, value)
		}
	}
	return Request{
		HomeDir: home,
		Getenv:  func(name string) string { return env[name] },
	}
}

func write(t testing.TB, name, text string, mode os.FileMode) string {
	t.Helper()
	if !filepath.IsAbs(name) {
		name = filepath.Join(t.TempDir(), name)
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	return name
}

func find(t testing.TB, r Request) Binding {
	t.Helper()
	b, err := Find(context.Background(), r)
	if err != nil {
		t.Fatalf("Find: %v", err)
	}
	return b
}

func keyOf(t testing.TB, b Binding) string {
	t.Helper()
	c, err := b.Credentials.Retrieve(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return c.AccessKeyID + ":" + c.SecretAccessKey + ":" + c.SessionToken
}

// vcap is VCAP_SERVICES with an S3 service of this name, bucket and key id for
// each word "name/bucket/id".
func vcap(words ...string) string {
	var list []string
	for _, w := range words {
		p := strings.Split(w, "/")
		list = append(list, `{"name":"`+p[0]+`","plan":"basic","tags":["S3"],"credentials":{"access_key_id":"`+p[2]+`","secret_access_key":"sec-`+p[2]+
			`","region":"us-gov-west-1","bucket":"`+p[1]+`","additional_buckets":["more-`+p[1]+`"]}}`)
	}
	return `{"s3":[` + strings.Join(list, ",") + `],"aws-rds":[{"name":"db","credentials":{"username":"u","password":"p","name":"d","host":"h","uri":"postgres://u:p@h/d"}}]}`
}

func TestSourcesInTheirOrder(t *testing.T) {
	env := map[string]string{
		"VCAP_SERVICES":     vcap("one/bucket-1/id1"),
		"AWS_ACCESS_KEY_ID": "id2", "AWS_SECRET_ACCESS_KEY": "sec2", "AWS_SESSION_TOKEN": "tok", "BUCKET_NAME": "bucket-2",
		"AWS_DEFAULT_REGION": "us-west-2", "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1",
	}
	r := request(t, env)
	r.File = write(t, "key.txt", string(golden(t, "cf8-service-key.txt")), 0o600)
	if b := find(t, r); b.Bucket != "cf-aaaa" || b.Source != r.File {
		t.Errorf("the credentials file does not win: %v", b)
	}
	r.File = ""
	if b := find(t, r); b.Bucket != "bucket-1" || b.Source != "VCAP_SERVICES, service one" || keyOf(t, b) != "id1:sec-id1:" {
		t.Errorf("VCAP_SERVICES does not come next: %v", b)
	}
	env["VCAP_SERVICES"] = `{}`
	if b := find(t, r); b.Bucket != "bucket-2" || b.Region != "us-west-2" || b.Endpoint != "http://127.0.0.1:1" || keyOf(t, b) != "id2:sec2:tok" {
		t.Errorf("AWS_* does not come after an empty VCAP_SERVICES: %v", b)
	}
	delete(env, "BUCKET_NAME")
	_, err := Find(context.Background(), r)
	if !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrLoggedOut) {
		t.Fatalf("Find = %v, want nothing found", err)
	}
	if !strings.Contains(err.Error(), "AWS_ACCESS_KEY_ID is set but BUCKET_NAME is not") {
		t.Errorf("the reason is not told: %v", err)
	}
}

func TestChoosingAmongServices(t *testing.T) {
	r := request(t, map[string]string{"VCAP_SERVICES": vcap("one/b1/id1", "two/b2/id2")})
	_, err := Find(context.Background(), r)
	var e *Error
	if !errors.Is(err, ErrAmbiguous) || !errors.As(err, &e) || e.Hint() == "" {
		t.Fatalf("Find = %v, want ErrAmbiguous with a hint", err)
	}
	if want := "2 S3 services could be meant: one (plan basic, bucket b1), two (plan basic, bucket b2)"; err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	for _, tt := range []struct{ service, bucket, wantBucket, wantKey string }{
		{"two", "", "b2", "id2:sec-id2:"},
		{"", "b1", "b1", "id1:sec-id1:"},
		{"", "more-b2", "more-b2", "id2:sec-id2:"},
		{"one", "more-b1", "more-b1", "id1:sec-id1:"},
	} {
		r.Service, r.Bucket = tt.service, tt.bucket
		if b := find(t, r); b.Bucket != tt.wantBucket || keyOf(t, b) != tt.wantKey {
			t.Errorf("--service %q --bucket %q gave %v with key %s", tt.service, tt.bucket, b, keyOf(t, b))
		}
	}
	r.Service, r.Bucket = "", "more-b2"
	if b := find(t, r); b.Plan != "" { // the plan says whether the service's own bucket is public
		t.Errorf("more-b2 has the plan of b2, %s", b.Plan)
	}
	if b := find(t, r); len(b.AdditionalBuckets) != 1 || b.AdditionalBuckets[0] != "b2" {
		t.Errorf("the buckets beside more-b2 are %v, want b2", b.AdditionalBuckets)
	}
}

func TestBucketThatVCAPDoesNotHave(t *testing.T) {
	r := request(t, map[string]string{
		"VCAP_SERVICES": vcap("one/b1/id1"), "AWS_ACCESS_KEY_ID": "id2", "AWS_SECRET_ACCESS_KEY": "sec2", "BUCKET_NAME": "another",
	})
	r.Bucket = "mine"
	if b := find(t, r); b.Bucket != "mine" || keyOf(t, b) != "id2:sec2:" {
		t.Errorf("Find = %v with the key %s", b, keyOf(t, b))
	}
}

func TestKeysOfAnotherServiceOfAWS(t *testing.T) {
	r := request(t, map[string]string{
		"VCAP_SERVICES": `{"aws-sqs":[{"name":"q","credentials":{"access_key_id":"id","secret_access_key":"sec","region":"r","queue_url":"https://q"}}]}`,
	})
	r.Bucket = "mine"
	if b, err := Find(t.Context(), r); err == nil {
		t.Errorf("a queue's key is taken for %v", b)
	}
}

func TestFlagsOverrideTheSource(t *testing.T) {
	pathStyle := true
	r := request(t, map[string]string{"VCAP_SERVICES": vcap("one/b1/id1")})
	r.Region, r.EndpointURL, r.Prefix = "eu-west-1", "s3.eu-west-1.amazonaws.com", "a/b/"
	b := find(t, r)
	if b.Region != "eu-west-1" || b.Endpoint != "https://s3.eu-west-1.amazonaws.com" || b.PathStyle || b.Prefix != "a/b/" {
		t.Errorf("flags do not override: %+v", plainOf(t, b))
	}
	r.EndpointURL = "http://127.0.0.1:9"
	if b := find(t, r); !b.PathStyle {
		t.Error("another server is spoken to as if it were Amazon's")
	}
	r.EndpointURL = "s3.eu-west-1.amazonaws.com"
	r.PathStyle = &pathStyle
	if b := find(t, r); !b.PathStyle {
		t.Error("--path-style does not override")
	}
}

func plainOf(t testing.TB, b Binding) string {
	t.Helper()
	text, err := b.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestBucketWithKeysOfTheSDK(t *testing.T) {
	r := request(t, nil)
	write(t, filepath.Join(r.HomeDir, "credentials"), "[default]\naws_access_key_id = id\naws_secret_access_key = sec\n[other]\naws_access_key_id = id2\naws_secret_access_key = sec2\n", 0o600)
	write(t, filepath.Join(r.HomeDir, "config"), "[profile other]\nregion = us-gov-east-1\n", 0o600)
	r.Bucket = "b"
	if b := find(t, r); b.Bucket != "b" || keyOf(t, b) != "id:sec:" {
		t.Errorf("Find = %v with key %s", b, keyOf(t, b))
	}
	t.Setenv("AWS_PROFILE", "other")
	r.Getenv = os.Getenv
	if b := find(t, r); keyOf(t, b) != "id2:sec2:" {
		t.Errorf("Find with AWS_PROFILE = %v with key %s", b, keyOf(t, b))
	}
	t.Setenv("AWS_PROFILE", "")
	r.Profile = "other"
	if b := find(t, r); keyOf(t, b) != "id2:sec2:" || b.Region != "us-gov-east-1" {
		t.Errorf("Find with a profile = %v with key %s in %s", b, keyOf(t, b), b.Region)
	}
	r.Profile = "missing"
	if _, err := Find(context.Background(), r); !errors.Is(err, ErrNotFound) {
		t.Errorf("Find with a missing profile = %v, want ErrNotFound", err)
	}
}

func TestWrongFlags(t *testing.T) {
	for name, change := range map[string]func(*Request){
		"--profile without a bucket":     func(r *Request) { r.Profile = "p" },
		"--profile and --credentials":    func(r *Request) { r.Profile, r.File, r.Bucket = "p", "f", "b" },
		"--profile and --service":        func(r *Request) { r.Profile, r.Service, r.Bucket = "p", "s", "b" },
		"--credentials and --key":        func(r *Request) { r.File, r.Key = "f", "k" },
		"--app and --key":                func(r *Request) { r.App, r.Key = "a", "k" },
		"--key and --create-key":         func(r *Request) { r.Key, r.CreateKey = "k", true },
		"a bucket with a slash":          func(r *Request) { r.Bucket = "b/c" },
		"an endpoint that is none":       func(r *Request) { r.EndpointURL = "ftp://u:TOPSECRET@h" },
		"--credentials - without stdin":  func(r *Request) { r.File = "-" },
		"an endpoint that names a query": func(r *Request) { r.EndpointURL = "http://h?TOPSECRET" },
	} {
		r := request(t, nil)
		change(&r)
		if _, err := Find(context.Background(), r); !errors.Is(err, ErrUsage) || strings.Contains(err.Error(), "TOPSECRET") {
			t.Errorf("%s: Find = %v, want ErrUsage", name, err)
		}
	}
}
