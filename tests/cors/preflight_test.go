package cors

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/cgs3fs/cgs3fs/cors"
)

// TestServerAgreesWithEvaluate asks the real server every question of the table
// that cors.Evaluate is tested with. versitygw 1.8.0 answers all of them as S3
// documents; where else it departs from S3 is in the tests below.
func TestServerAgreesWithEvaluate(t *testing.T) {
	asked := 0
	for _, g := range table(t) {
		d := newDesk(t)
		rules, err := cors.Parse(g.Rules)
		if err != nil {
			t.Fatal(err)
		}
		put(t, d, rules)
		for _, c := range g.Cases {
			asked++
			question := strings.TrimSpace(fmt.Sprintf("%s: %s %s %s", g.Name, c.Method, c.Origin, c.Headers))
			q := cors.Request{Origin: c.Origin, Method: c.Method, Headers: cors.ParseHeaders(c.Headers), Preflight: true}
			if got := cors.Evaluate(rules, q); got.AllowOrigin != c.AllowOrigin {
				t.Errorf("%s: Evaluate says %q, want %q", question, got.AllowOrigin, c.AllowOrigin)
			}
			r := preflight(t, d.Bucket, q)
			if r.AllowOrigin != c.AllowOrigin {
				t.Errorf("%s: the server says %q (HTTP %d), want %q: %s", question, r.AllowOrigin, r.Status, c.AllowOrigin, c.Why)
			}
			if ok, why := cors.Accepts(q, r); ok != (c.Rule >= 0) {
				t.Errorf("%s: a browser accepts the answer: %v (%s)", question, ok, why)
			}
		}
	}
	if asked < 60 {
		t.Errorf("only %d questions", asked)
	}
}

// TestServerAnswersTheRequestAsItDidThePreflight asks what needs no request
// headers again as the request itself, where only origin and method count. The
// requests are signed, as those of pages that read private objects are.
func TestServerAnswersTheRequestAsItDidThePreflight(t *testing.T) {
	for _, g := range table(t) {
		d := newDesk(t)
		rules, err := cors.Parse(g.Rules)
		if err != nil {
			t.Fatal(err)
		}
		put(t, d, rules)
		for _, c := range g.Cases {
			if c.Origin == "" || c.Method != http.MethodGet {
				continue
			}
			want := cors.Evaluate(rules, cors.Request{Origin: c.Origin, Method: c.Method}).AllowOrigin
			got := send(t, c.Method, signedURL(t, d, "some/object"), http.Header{"Origin": {c.Origin}})
			if got.AllowOrigin != want {
				t.Errorf("%s: %s %s: the server says %q (HTTP %d), want %q", g.Name, c.Method, c.Origin, got.AllowOrigin, got.Status, want)
			}
		}
	}
}

// refusedByS3 are rules that S3 documents it refuses and versitygw 1.8.0 takes.
// Lint stops them all, which is the only guard where the server doesn't.
var refusedByS3 = map[string]cors.Rule{
	"* in ExposeHeaders": {
		AllowedOrigins: []string{"https://a.example.gov"}, AllowedMethods: []string{"GET"}, ExposeHeaders: []string{"x-amz-*"},
	},
	"two * in AllowedHeaders": {
		AllowedOrigins: []string{"https://a.example.gov"}, AllowedMethods: []string{"GET"}, AllowedHeaders: []string{"x-*-*"},
	},
	"ID of 256 characters": {
		ID: strings.Repeat("x", 256), AllowedOrigins: []string{"https://a.example.gov"}, AllowedMethods: []string{"GET"},
	},
}

func TestLintStopsWhatTheServerShouldRefuse(t *testing.T) {
	for name, r := range refusedByS3 {
		put(t, newDesk(t), []cors.Rule{r}) // when this fails, the server has learnt it
		found := cors.Lint([]cors.Rule{r})
		if len(found) != 1 || found[0].Severity != cors.Error {
			t.Errorf("%s: Lint finds %v", name, found)
		}
	}
}

// TestAnonymousRefusalCarriesNoHeaders is a departure from S3: the server
// refuses who it doesn't know before it looks at the rules, so that a page
// can't see that it was refused. It is why cors test signs its GET.
func TestAnonymousRefusalCarriesNoHeaders(t *testing.T) {
	d := newDesk(t)
	put(t, d, []cors.Rule{{AllowedOrigins: []string{"*"}, AllowedMethods: []string{"GET"}}})
	got := send(t, http.MethodGet, server.Endpoint+"/"+d.Bucket+"/some/object", http.Header{"Origin": {"https://a.example.gov"}})
	if got.Status != http.StatusForbidden || got.AllowOrigin != "" {
		t.Errorf("HTTP %d, Access-Control-Allow-Origin %q", got.Status, got.AllowOrigin)
	}
}

// TestServerEchoesTheOriginListedBeforeAStar is where it and Evaluate part: S3
// doesn't document which of the two it echoes. Browsers take both.
func TestServerEchoesTheOriginListedBeforeAStar(t *testing.T) {
	d := newDesk(t)
	const site = "https://a.example.gov"
	rules := []cors.Rule{{AllowedOrigins: []string{site, "*"}, AllowedMethods: []string{"GET"}}}
	put(t, d, rules)
	q := cors.Request{Origin: site, Method: "GET", Preflight: true}
	got, ours := preflight(t, d.Bucket, q), cors.Evaluate(rules, q)
	if got.AllowOrigin != site || ours.AllowOrigin != "*" {
		t.Errorf("the server says %q, Evaluate %q", got.AllowOrigin, ours.AllowOrigin)
	}
	if ok, why := cors.Accepts(q, got); !ok {
		t.Error(why)
	}
}

// put sets rules through the SDK, unchecked.
func put(t testing.TB, d *desk, rules []cors.Rule) {
	t.Helper()
	if len(rules) == 0 {
		return
	}
	var in []types.CORSRule
	for _, r := range rules {
		in = append(in, types.CORSRule{
			ID: aws.String(r.ID), AllowedOrigins: r.AllowedOrigins, AllowedMethods: r.AllowedMethods,
			AllowedHeaders: r.AllowedHeaders, ExposeHeaders: r.ExposeHeaders, MaxAgeSeconds: r.MaxAgeSeconds,
		})
	}
	_, err := d.PutBucketCors(t.Context(), &awss3.PutBucketCorsInput{
		Bucket: &d.Bucket, CORSConfiguration: &types.CORSConfiguration{CORSRules: in},
	})
	if err != nil {
		t.Fatal(err)
	}
}

func preflight(t testing.TB, bucket string, q cors.Request) cors.Response {
	t.Helper()
	h := http.Header{}
	for name, value := range map[string]string{
		"Origin": q.Origin, "Access-Control-Request-Method": q.Method,
		"Access-Control-Request-Headers": strings.Join(q.Headers, ","),
	} {
		if value != "" {
			h.Set(name, value)
		}
	}
	return send(t, http.MethodOptions, server.Endpoint+"/"+bucket+"/some/object", h)
}

// signedURL lets whoever has it read an object for some minutes.
func signedURL(t testing.TB, d *desk, key string) string {
	t.Helper()
	in := &awss3.GetObjectInput{Bucket: &d.Bucket, Key: &key}
	signed, err := awss3.NewPresignClient(d.Client.Client).PresignGetObject(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	return signed.URL
}

func send(t testing.TB, method, url string, h http.Header) cors.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header = h
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	return cors.Response{
		Status:       resp.StatusCode,
		AllowOrigin:  resp.Header.Get("Access-Control-Allow-Origin"),
		AllowMethods: resp.Header.Get("Access-Control-Allow-Methods"),
		AllowHeaders: resp.Header.Get("Access-Control-Allow-Headers"),
	}
}
