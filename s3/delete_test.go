package s3_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cgs3fs/cgs3fs/s3"
	"github.com/cgs3fs/cgs3fs/s3/s3test"
)

// redirected sends requests to another server than the one they are for.
type redirected struct {
	to    string // host:port
	calls *atomic.Int64
}

func (r redirected) RoundTrip(req *http.Request) (*http.Response, error) {
	r.calls.Add(1)
	req = req.Clone(req.Context())
	req.URL.Scheme, req.URL.Host = "http", r.to
	return http.DefaultTransport.RoundTrip(req)
}

// TestBulkDeletesCompareETagsWhereTheServerDoes deletes a version that is
// current and one that is not.
func TestBulkDeletesCompareETagsWhereTheServerDoes(t *testing.T) {
	tests := map[string]struct {
		endpoint string
		weak     bool
		requests int64
		kept     bool // the object of another version
	}{
		"Amazon":                    {"https://s3.us-east-1.amazonaws.com", false, 1, true},
		"Amazon, weak":              {"https://s3.us-east-1.amazonaws.com", true, 1, true},
		"another server":            {"http://s3.example.gov", false, 2, true},
		"another server, when weak": {"http://s3.example.gov", true, 1, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			mem := s3test.NewMem(s3test.MemConfig{})
			server := httptest.NewServer(&s3test.Server{Name: "bucket", Bucket: mem})
			defer server.Close()
			defer http.DefaultTransport.(*http.Transport).CloseIdleConnections()
			var calls atomic.Int64
			c := open(t, server, func(c *s3.Config) {
				c.Endpoint, c.PathStyle, c.Checksums = test.endpoint, s3.Always, s3.Never
				c.WrapTransport = func(http.RoundTripper) http.RoundTripper {
					return redirected{strings.TrimPrefix(server.URL, "http://"), &calls}
				}
			})
			current := mem.PutBytes("current", []byte("x")).ETag
			old := mem.PutBytes("changed", []byte("x")).ETag
			mem.PutBytes("changed", []byte("y"))
			err := c.Delete(t.Context(), s3.Target{Key: "current", ETag: current, Weak: test.weak}, s3.Target{Key: "changed", ETag: old, Weak: test.weak})
			if test.kept != errors.Is(err, s3.ErrChanged) {
				t.Errorf("got %v", err)
			}
			if _, err := mem.Head(t.Context(), "current"); !errors.Is(err, s3.ErrNotFound) {
				t.Errorf("the current version: %v", err)
			}
			if _, err := mem.Head(t.Context(), "changed"); test.kept != (err == nil) {
				t.Errorf("the changed object: %v", err)
			}
			if calls.Load() != test.requests {
				t.Errorf("%d requests, want %d", calls.Load(), test.requests)
			}
		})
	}
}
