package s3_test

import (
	"encoding/pem"
	"io"
	"log"
	"net/http/httptest"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"

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
