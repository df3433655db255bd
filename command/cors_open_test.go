package command

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/cgs3fs/cgs3fs/creds"
)

func TestBucketURLIsTheBrowsers(t *testing.T) {
	for _, c := range []struct {
		binding creds.Binding
		key     string
		want    string
	}{
		{creds.Binding{Bucket: "b"}, "k", "https://b.s3.us-gov-west-1.amazonaws.com/k"},
		{creds.Binding{Bucket: "b", Endpoint: "https://s3-fips.us-gov-west-1.amazonaws.com"}, "k", "https://b.s3-fips.us-gov-west-1.amazonaws.com/k"},
		{creds.Binding{Bucket: "b", Endpoint: "https://s3.us-gov-west-1.amazonaws.com", PathStyle: true}, "k", "https://s3.us-gov-west-1.amazonaws.com/b/k"},
		{creds.Binding{Bucket: "b.c", Endpoint: "https://s3.us-gov-west-1.amazonaws.com"}, "k", "https://s3.us-gov-west-1.amazonaws.com/b.c/k"},
		{creds.Binding{Bucket: "b", Endpoint: "http://127.0.0.1:7070/"}, "k", "http://127.0.0.1:7070/b/k"},
		{creds.Binding{Bucket: "b", Endpoint: "http://127.0.0.1:7070"}, "a//b/../c d%é?#+~", "http://127.0.0.1:7070/b/a//b/../c%20d%25%C3%A9%3F%23%2B~"},
	} {
		base, err := bucketURL(c.binding, "us-gov-west-1")
		if err != nil {
			t.Fatal(err)
		}
		if got := objectURL(base, c.key).String(); got != c.want {
			t.Errorf("%v %q: got %s, want %s", c.binding, c.key, got, c.want)
		}
	}
	if _, err := bucketURL(creds.Binding{Bucket: "b", Endpoint: "::"}, "r"); err == nil {
		t.Error("a bad endpoint is accepted")
	}
}

func TestSignerPutsTheSecretNowhere(t *testing.T) {
	keys := aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: "AKIAEXAMPLE", SecretAccessKey: "very-secret"}, nil
	})
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://127.0.0.1/b/k", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := signer(keys, "us-gov-west-1")(r); err != nil {
		t.Fatal(err)
	}
	auth := r.Header.Get("Authorization")
	if !strings.Contains(auth, "AKIAEXAMPLE") || !strings.Contains(auth, "/us-gov-west-1/s3/") {
		t.Errorf("Authorization is %q", auth)
	}
	for name, values := range r.Header {
		if strings.Contains(strings.Join(values, ""), "very-secret") {
			t.Errorf("%s holds the secret", name)
		}
	}
}
