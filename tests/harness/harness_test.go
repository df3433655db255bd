package harness

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestServerKeepsDataAndAddressAcrossRestart(t *testing.T) {
	s := NewServer(t)
	c := s.Bucket(t)
	want := bytes.Repeat([]byte("0123456789"), 100_000)
	c.Put(t, "a/b", want)
	endpoint := s.Endpoint
	s.Kill()
	if err := s.Restart(); err != nil {
		t.Fatal(err)
	}
	if s.Endpoint != endpoint {
		t.Errorf("endpoint %s became %s", endpoint, s.Endpoint)
	}
	if got := c.Get(t, "a/b"); !bytes.Equal(got, want) {
		t.Errorf("read %d bytes back, want the %d written", len(got), len(want))
	}
}

func TestProxyNamesOperations(t *testing.T) {
	s := NewServer(t)
	c := s.Bucket(t)
	c.Put(t, "dir//odd key%", []byte("x"))
	c.Get(t, "dir//odd key%")
	c.Has(t, "missing")
	c.Keys(t, "")
	c.Delete(t, "dir//odd key%")
	if _, err := c.Pending(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := map[string]int{
		"PutObject": 1, "GetObject": 1, "HeadObject": 1, "ListObjectsV2": 1, "DeleteObject": 1, "ListMultipartUploads": 1,
	}
	if diff := cmp.Diff(want, s.Proxy.Counts()); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
	if got := s.Proxy.Requests()[0]; got.Key != "dir//odd key%" || got.Bucket != c.Bucket || got.Status != 200 {
		t.Errorf("first request was noted as %v", got)
	}
}
