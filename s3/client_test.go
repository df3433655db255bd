package s3_test

import (
	"encoding/pem"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"go.uber.org/goleak"

	"github.com/cgs3fs/cgs3fs/s3"
	"github.com/cgs3fs/cgs3fs/s3/s3test"
)

// client returns a client of a server that serves b, with changes to its
// configuration.
func client(t *testing.T, b s3.Bucket, change ...func(*s3.Config)) *s3.Client {
	t.Helper()
	return open(t, httptest.NewServer(&s3test.Server{Name: "bucket", Bucket: b}), change...)
}

// open returns a client of server, which it closes.
func open(t *testing.T, server *httptest.Server, change ...func(*s3.Config)) *s3.Client {
	t.Helper()
	cfg := s3.Config{
		Bucket: "bucket", Endpoint: server.URL,
		Credentials: aws.CredentialsProviderFunc(staticKey),
	}
	if server.TLS != nil {
		cfg.CABundle = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	}
	for _, f := range change {
		f(&cfg)
	}
	c, err := s3.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.CloseIdle()
		server.Close()
	})
	return c
}

// tlsServer serves b by TLS.
func tlsServer(b s3.Bucket) *httptest.Server {
	server := httptest.NewUnstartedServer(&s3test.Server{Name: "bucket", Bucket: b})
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	return server
}

func staticKey(ctx) (aws.Credentials, error) {
	return aws.Credentials{AccessKeyID: "AKIAEXAMPLE", SecretAccessKey: "not-a-secret"}, nil
}

func TestClientConforms(t *testing.T) {
	s3test.Run(t, func(t *testing.T) s3.Bucket {
		return client(t, s3test.NewMem(s3test.MemConfig{MinPartSize: 1}))
	}, s3test.Features{SmallParts: true})
}

// TestClientConformsAsWithAmazon talks TLS and sends and checks checksums.
func TestClientConformsAsWithAmazon(t *testing.T) {
	s3test.Run(t, func(t *testing.T) s3.Bucket {
		m := s3test.NewMem(s3test.MemConfig{MinPartSize: 1, Checksums: true})
		return open(t, tlsServer(m), func(c *s3.Config) { c.Checksums = s3.Always })
	}, s3test.Features{SmallParts: true, LongListing: 300})
}

func TestConnectionIsReused(t *testing.T) {
	defer goleak.VerifyNone(t)
	m := s3test.NewMem(s3test.MemConfig{MinPartSize: 1})
	m.PutBytes("a", []byte(strings.Repeat("x", 100_000)))
	server := httptest.NewUnstartedServer(&s3test.Server{Name: "bucket", Bucket: m})
	var connections atomic.Int32
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	server.Start()
	defer server.Close()
	c := open(t, server)
	defer c.CloseIdle()
	ctx := t.Context()
	for range 5 {
		c.Head(ctx, "a")
		c.Head(ctx, "missing")
		c.Get(ctx, "missing", s3.GetOptions{})
		c.Get(ctx, "a", s3.GetOptions{IfMatch: `"other"`})
		c.Get(ctx, "a", s3.GetOptions{Range: s3.Range{Offset: 1 << 20}})
		c.ListPage(ctx, s3.ListInput{})
		c.ListPage(ctx, s3.ListInput{Token: `0 "a" nonsense`})
		c.Put(ctx, "b", strings.NewReader("x"), s3.PutOptions{})
		c.Put(ctx, "b", strings.NewReader("x"), s3.PutOptions{IfNoneMatch: "*"})
		c.Copy(ctx, s3.Source{Key: "missing"}, "c", s3.CopyOptions{})
		c.Delete(ctx, s3.Target{Key: "b"}, s3.Target{Key: "c"})
		c.ResumeUpload(ctx, "a", "none", s3.PutOptions{})
		c.GetCORS(ctx)
		// A reader that knows the length, and does not look for the end.
		body, err := c.Get(ctx, "a", s3.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(body, make([]byte, 100_000)); err != nil {
			t.Fatal(err)
		}
		body.Close()
	}
	// What gives a connection up does so five times. Once may be a busy machine:
	// net/http waits 50 ms for the end of what it has sent, although it is answered.
	if n := connections.Load(); n > 2 {
		t.Errorf("%d connections for requests one after another", n)
	}
}
