package s3_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/cgs3fs/cgs3fs/s3"
	"github.com/cgs3fs/cgs3fs/s3/s3test"
)

func itoa(n int) string { return strconv.Itoa(n) }

// answering returns a server that answers everything by f.
func answering(f http.HandlerFunc) *httptest.Server { return httptest.NewServer(f) }

func refusing(status int, code, more string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(status)
		if r.Method != http.MethodHead {
			fmt.Fprintf(w, "<Error><Code>%s</Code><Message>because</Message>%s</Error>", code, more)
		}
	}
}

func TestCheckTellsCausesApart(t *testing.T) {
	tests := []struct {
		status int
		code   string
		kind   error
	}{
		{403, "InvalidAccessKeyId", s3.ErrCredentials},
		{403, "SignatureDoesNotMatch", s3.ErrCredentials},
		{400, "ExpiredToken", s3.ErrCredentials},
		{404, "NoSuchBucket", s3.ErrNoBucket},
		{404, "", s3.ErrNoBucket},
		{403, "AccessDenied", s3.ErrDenied},
		{301, "PermanentRedirect", s3.ErrRegion},
		{400, "AuthorizationHeaderMalformed", s3.ErrRegion},
		{503, "SlowDown", s3.ErrThrottled},
		{500, "InternalError", s3.ErrUnavailable},
	}
	for _, test := range tests {
		err := open(t, answering(refusing(test.status, test.code, ""))).Check(t.Context())
		var e *s3.Error
		if !errors.Is(err, test.kind) || !errors.As(err, &e) || e.Status != test.status || e.Code != test.code {
			t.Errorf("%d %s: got %v", test.status, test.code, err)
		}
	}
	if err := client(t, s3test.NewMem(s3test.MemConfig{})).Check(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestCheckWithoutNetwork(t *testing.T) {
	server := answering(nil)
	server.Close()
	err := open(t, server).Check(t.Context())
	var e *s3.Error
	if !errors.Is(err, s3.ErrUnavailable) || !errors.As(err, &e) || e.Status != 0 || !strings.Contains(err.Error(), "refused") {
		t.Errorf("got %v", err)
	}
}

func TestCheckOfAnUntrustedServer(t *testing.T) {
	err := open(t, tlsServer(s3test.NewMem(s3test.MemConfig{})), func(c *s3.Config) { c.CABundle = nil }).Check(t.Context())
	if !errors.Is(err, s3.ErrUntrusted) {
		t.Errorf("unknown authority: got %v", err)
	}
	trusting := tlsServer(s3test.NewMem(s3test.MemConfig{}))
	if err := open(t, trusting, func(c *s3.Config) { c.CABundle, c.InsecureSkipVerify = nil, true }).Check(t.Context()); err != nil {
		t.Errorf("told to trust it: %v", err)
	}
	plain := answering(refusing(200, "", ""))
	err = open(t, plain, func(c *s3.Config) { c.Endpoint = strings.Replace(c.Endpoint, "http:", "https:", 1) }).Check(t.Context())
	if !errors.Is(err, s3.ErrUntrusted) {
		t.Errorf("no TLS at all: got %v", err)
	}
}

func TestCheckFindsTheRegion(t *testing.T) {
	inRegion := func(refuse http.HandlerFunc) http.HandlerFunc {
		server := &s3test.Server{Name: "bucket", Bucket: s3test.NewMem(s3test.MemConfig{})}
		return func(w http.ResponseWriter, r *http.Request) {
			if strings.Contains(r.Header.Get("Authorization"), "/us-gov-west-1/s3/") {
				server.ServeHTTP(w, r)
				return
			}
			refuse(w, r)
		}
	}
	tests := map[string]http.HandlerFunc{
		"in the error": refusing(400, "AuthorizationHeaderMalformed", "<Region>us-gov-west-1</Region>"),
		"in the header": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Amz-Bucket-Region", "us-gov-west-1")
			refusing(301, "PermanentRedirect", "")(w, r)
		},
		"in the header of a HEAD": func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodHead {
				w.Header().Set("X-Amz-Bucket-Region", "us-gov-west-1")
			}
			refusing(301, "PermanentRedirect", "")(w, r)
		},
	}
	for name, refuse := range tests {
		c := open(t, answering(inRegion(refuse)))
		if err := c.Check(t.Context()); err != nil || c.Region() != "us-gov-west-1" {
			t.Errorf("%s: region %s, %v", name, c.Region(), err)
		}
		if _, err := c.Put(t.Context(), "a", strings.NewReader("x"), s3.PutOptions{}); err != nil {
			t.Errorf("%s: afterwards: %v", name, err)
		}
	}
}

func TestRedirectIsNotFollowed(t *testing.T) {
	elsewhere := answering(func(http.ResponseWriter, *http.Request) { t.Error("a signed request went to another host") })
	defer elsewhere.Close()
	c := open(t, answering(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere.URL+r.URL.Path, http.StatusTemporaryRedirect)
	}))
	if _, err := c.Head(t.Context(), "a"); !errors.Is(err, s3.ErrRegion) {
		t.Errorf("got %v", err)
	}
	if err := c.Check(t.Context()); !errors.Is(err, s3.ErrRegion) {
		t.Errorf("got %v", err)
	}
}

func TestClockOfTheServerIsLearnt(t *testing.T) {
	ahead := 3 * time.Hour
	server := &s3test.Server{Name: "bucket", Bucket: s3test.NewMem(s3test.MemConfig{})}
	c := open(t, answering(func(w http.ResponseWriter, r *http.Request) {
		now := time.Now().Add(ahead)
		w.Header().Set("Date", now.UTC().Format(http.TimeFormat))
		signed, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
		if err != nil || signed.Before(now.Add(-15*time.Minute)) {
			refusing(403, "RequestTimeTooSkewed", "")(w, r)
			return
		}
		server.ServeHTTP(w, r)
	}))
	if err := c.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Put(t.Context(), "a", strings.NewReader("x"), s3.PutOptions{}); err != nil {
		t.Error(err)
	}
}

func TestHeadSaysWhyItIsRefused(t *testing.T) {
	for code, kind := range map[string]error{"AccessDenied": s3.ErrDenied, "InvalidAccessKeyId": s3.ErrCredentials, "ExpiredToken": s3.ErrCredentials} {
		_, err := open(t, answering(refusing(403, code, ""))).Head(t.Context(), "a")
		var e *s3.Error
		if !errors.Is(err, kind) || !errors.As(err, &e) || e.Code != code || e.Op != s3.OpHead {
			t.Errorf("%s: got %v", code, err)
		}
	}
}

func TestCredentialsThatCannotBeGot(t *testing.T) {
	broken := func(c *s3.Config) {
		c.Credentials = aws.CredentialsProviderFunc(func(ctx) (aws.Credentials, error) {
			return aws.Credentials{}, errors.New("cf is not logged in")
		})
	}
	_, err := client(t, s3test.NewMem(s3test.MemConfig{}), broken).Head(t.Context(), "a")
	if !errors.Is(err, s3.ErrCredentials) || !strings.Contains(err.Error(), "cf is not logged in") {
		t.Errorf("got %v", err)
	}
}

func TestAnonymousRequestsAreNotSigned(t *testing.T) {
	server := &s3test.Server{Name: "bucket", Bucket: s3test.NewMem(s3test.MemConfig{})}
	c := open(t, answering(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			t.Error("signed")
		}
		server.ServeHTTP(w, r)
	}), func(c *s3.Config) { c.Credentials = nil })
	if err := c.Check(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestErrorsHoldNoSecret(t *testing.T) {
	c := open(t, answering(refusing(403, "SignatureDoesNotMatch",
		"<AWSAccessKeyId>AKIAEXAMPLE</AWSAccessKeyId><SignatureProvided>abc</SignatureProvided>")))
	_, err := c.Put(t.Context(), "a", strings.NewReader("x"), s3.PutOptions{})
	for _, secret := range []string{"AKIAEXAMPLE", "not-a-secret", "Signature="} {
		if text := fmt.Sprintf("%v %+v %#v", err, err, errors.Unwrap(err)); strings.Contains(text, secret) {
			t.Errorf("the error tells %q: %s", secret, text)
		}
	}
}

func TestOptionsReachTheServer(t *testing.T) {
	var got http.Header
	server := &s3test.Server{Name: "bucket", Bucket: s3test.NewMem(s3test.MemConfig{})}
	c := open(t, answering(func(w http.ResponseWriter, r *http.Request) {
		got = r.Header.Clone()
		server.ServeHTTP(w, r)
	}), func(c *s3.Config) {
		c.RequesterPays = true
		c.UserAgent = "cgs3fs/1.2"
		c.Encryption = s3.Encryption{Algorithm: "aws:kms", KMSKey: "key-id"}
	})
	if _, err := c.Put(t.Context(), "a", strings.NewReader("x"), s3.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"X-Amz-Request-Payer":                         "requester",
		"X-Amz-Server-Side-Encryption":                "aws:kms",
		"X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id": "key-id",
	} {
		if got.Get(name) != want {
			t.Errorf("%s: %q", name, got.Get(name))
		}
	}
	if !strings.Contains(got.Get("User-Agent"), "cgs3fs/1.2") {
		t.Errorf("User-Agent: %q", got.Get("User-Agent"))
	}
	if got.Get("X-Amz-Acl") != "" {
		t.Error("sent an ACL, which many buckets refuse")
	}
}

func TestFailedCopySaysWhichObjectItIsAbout(t *testing.T) {
	both := s3.CopyOptions{IfNoneMatch: "*"}
	for condition, kind := range map[string]error{"If-None-Match": s3.ErrExists, "x-amz-copy-source-If-Match": s3.ErrChanged} {
		c := open(t, answering(refusing(412, "PreconditionFailed", "<Condition>"+condition+"</Condition>")))
		_, err := c.Copy(t.Context(), s3.Source{Key: "a", ETag: `"x"`}, "b", both)
		if !errors.Is(err, kind) {
			t.Errorf("%s: got %v", condition, err)
		}
	}
}
