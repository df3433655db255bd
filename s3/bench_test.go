package s3_test

import (
	"fmt"
	"io"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/cgs3fs/cgs3fs/s3"
	"github.com/cgs3fs/cgs3fs/s3/s3test"
)

// benchClient returns a client of a server in this process, whose work counts in.
func benchClient(b *testing.B, m *s3test.Mem) s3.Bucket {
	b.Helper()
	server := httptest.NewServer(&s3test.Server{Name: "bucket", Bucket: m})
	c, err := s3.Open(s3.Config{Bucket: "bucket", Endpoint: server.URL, Credentials: aws.CredentialsProviderFunc(staticKey)})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		c.CloseIdle()
		server.Close()
	})
	return s3.Retry(s3.Limit(s3.Observe(c, func(s3.Event) {}), s3.Limits{Control: 64, Data: 64}), s3.RetryConfig{})
}

func BenchmarkGet(b *testing.B) {
	for _, size := range []int64{0, 4 << 10, 1 << 20, 64 << 20} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			m := s3test.NewMem(s3test.MemConfig{OpaqueETags: true})
			m.PutBytes("a", make([]byte, size))
			bucket := benchClient(b, m)
			buf := make([]byte, 1<<20)
			b.SetBytes(size)
			b.ReportAllocs()
			for b.Loop() {
				body, err := bucket.Get(b.Context(), "a", s3.GetOptions{})
				if err != nil {
					b.Fatal(err)
				}
				for err == nil {
					_, err = body.Read(buf)
				}
				body.Close()
				if err != io.EOF {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkPut(b *testing.B) {
	for _, size := range []int64{0, 4 << 10, 1 << 20, 32 << 20} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			bucket := benchClient(b, s3test.NewMem(s3test.MemConfig{OpaqueETags: true}))
			data := strings.Repeat("x", int(size))
			b.SetBytes(size)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := bucket.Put(b.Context(), "a", strings.NewReader(data), s3.PutOptions{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkListPage(b *testing.B) {
	m := s3test.NewMem(s3test.MemConfig{OpaqueETags: true})
	for i := range 1000 {
		m.PutBytes(fmt.Sprintf("dir/object%04d", i), nil)
	}
	bucket := benchClient(b, m)
	b.ReportAllocs()
	for b.Loop() {
		page, err := bucket.ListPage(b.Context(), s3.ListInput{Prefix: "dir/", Delimiter: "/"})
		if err != nil || len(page.Objects) != 1000 {
			b.Fatal(err)
		}
	}
}
