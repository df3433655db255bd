package s3_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/cgs3fs/cgs3fs/s3"
)

// scripted answers every request with the next of its bodies, and the last of
// them for ever.
type scripted struct {
	bodies []string
	calls  int
}

func (s *scripted) RoundTrip(r *http.Request) (*http.Response, error) {
	body := s.bodies[min(s.calls, len(s.bodies)-1)]
	s.calls++
	rec := httptest.NewRecorder()
	rec.WriteString(body)
	return rec.Result(), nil
}

func scriptedClient(t testing.TB, bodies ...string) (*s3.Client, *scripted) {
	t.Helper()
	script := &scripted{bodies: bodies}
	c, err := s3.Open(s3.Config{Bucket: "bucket", Endpoint: "http://127.0.0.1:1", WrapTransport: func(http.RoundTripper) http.RoundTripper { return script }})
	if err != nil {
		t.Fatal(err)
	}
	return c, script
}

func TestListingsThatLieAreErrors(t *testing.T) {
	list := func(inner string) string {
		if !strings.Contains(inner, "IsTruncated") {
			inner += "<IsTruncated>false</IsTruncated>"
		}
		return "<ListBucketResult>" + inner + "</ListBucketResult>"
	}
	key := func(k string) string { return "<Contents><Key>" + k + "</Key><Size>1</Size></Contents>" }
	more := func(token string) string {
		return "<IsTruncated>true</IsTruncated><NextContinuationToken>" + token + "</NextContinuationToken>"
	}
	tests := map[string][]string{
		"the same token for ever":     {list(key("p/a") + more("t"))},
		"the same page again":         {list(key("p/a") + more("t1")), list(key("p/a") + more("t2"))},
		"a page that goes back":       {list(key("p/b") + more("t1")), list(key("p/a"))},
		"keys out of order":           {list(key("p/b") + key("p/a"))},
		"a key twice":                 {list(key("p/a") + key("p/a"))},
		"a key outside the prefix":    {list(key("q"))},
		"no key":                      {list(key(""))},
		"a negative size":             {list("<Contents><Key>p/a</Key><Size>-1</Size></Contents>")},
		"more without a token":        {list("<IsTruncated>true</IsTruncated>")},
		"a prefix nobody asked for":   {list("<CommonPrefixes><Prefix>p/x/</Prefix></CommonPrefixes>")},
		"a wrong escape":              {list("<EncodingType>url</EncodingType>" + key("p/%zz"))},
		"nothing":                     {""},
		"no XML":                      {"welcome"},
		"a web page":                  {"<!DOCTYPE html><html><body>Log in to the hotel's network<br></body></html>"},
		"an error after all":          {"<Error><Code>InternalError</Code></Error>"},
		"no end":                      {"<ListBucketResult></ListBucketResult>"},
		"XML of something else":       {"<html></html>"},
		"XML that breaks off":         {"<ListBucketResult><Contents><Key>p/a"},
		"a size that is no number":    {list("<Contents><Key>p/a</Key><Size>big</Size></Contents>")},
		"a document without an end":   {"<ListBucketResult>" + strings.Repeat(" ", 17<<20)},
		"entries beyond the limit":    {list(strings.Repeat(key("p/"+strings.Repeat("x", 1000)), 20000))},
		"entities that grow":          {`<!DOCTYPE l [<!ENTITY a "aaaa">]><ListBucketResult><Name>&a;</Name></ListBucketResult>`},
		"empty pages that never end":  nil,
		"a second page without a key": {list(key("p/a") + more("t1")), list(key("") + more("t2"))},
	}
	for name, bodies := range tests {
		if bodies == nil {
			for _, token := range []string{"t1", "t2"} {
				bodies = append(bodies, list(more(token)))
			}
			for range 1100 {
				bodies = append(bodies, bodies[len(bodies)-2])
			}
		}
		c, script := scriptedClient(t, bodies...)
		var last error
		for _, err := range s3.List(t.Context(), c, "p/") {
			last = err
		}
		if !errors.Is(last, s3.ErrCorrupt) && !errors.Is(last, s3.ErrUnavailable) || script.calls > 1100 {
			t.Errorf("%s: after %d requests: %v", name, script.calls, last)
		}
	}
}

func FuzzListing(f *testing.F) {
	f.Add("<ListBucketResult><EncodingType>url</EncodingType><IsTruncated>true</IsTruncated>"+
		"<NextContinuationToken>t</NextContinuationToken><Contents><Key>a+b%2F</Key><Size>1</Size></Contents></ListBucketResult>",
		"<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>b</Key></Contents></ListBucketResult>", "", "")
	f.Add("<ListBucketResult><IsTruncated>false</IsTruncated><CommonPrefixes><Prefix>p/x/</Prefix></CommonPrefixes></ListBucketResult>", "", "p/", "/")
	f.Add("<Error><Code>SlowDown</Code></Error>", "<ListBucketResult/>", "", "")
	f.Fuzz(func(t *testing.T, first, second, prefix, delimiter string) {
		if delimiter != "" {
			delimiter = "/"
		}
		c, script := scriptedClient(t, first, second)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		in := s3.ListInput{Prefix: prefix, Delimiter: delimiter}
		last := ""
		for {
			page, err := c.ListPage(ctx, in)
			if err != nil {
				if errors.Is(err, s3.ErrCanceled) {
					t.Fatalf("endless: %d requests", script.calls)
				}
				return
			}
			for _, o := range page.Objects {
				if !strings.HasPrefix(o.Key, prefix) || o.Key <= last || o.Size < 0 {
					t.Fatalf("let %+v after %q pass", o, last)
				}
				last = o.Key
			}
			for _, p := range page.Prefixes {
				if !strings.HasPrefix(p, prefix) || !strings.HasSuffix(p, "/") {
					t.Fatalf("let the prefix %q pass", p)
				}
			}
			if page.Next == "" {
				return
			}
			if script.calls > 1100 {
				t.Fatalf("endless: %d requests", script.calls)
			}
			in.Token = page.Next
		}
	})
}

func FuzzToken(f *testing.F) {
	f.Add(`0 "a" token`)
	f.Add(`1 "\x" `)
	f.Fuzz(func(t *testing.T, token string) {
		c, _ := scriptedClient(t, "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>")
		_, err := c.ListPage(t.Context(), s3.ListInput{Token: token})
		if err != nil && !errors.Is(err, s3.ErrInvalid) {
			t.Fatal(err)
		}
	})
}
