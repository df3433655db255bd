package harness

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// Client is an S3 client that shares no code with the program: the AWS SDK with
// its defaults, talking to one bucket.
type Client struct {
	*awss3.Client
	Bucket string
}

// Bucket makes a fresh bucket for the test and returns a client of it.
func (s *Server) Bucket(t testing.TB) *Client {
	t.Helper()
	c := s.Client("test-" + token(6))
	_, err := c.CreateBucket(t.Context(), &awss3.CreateBucketInput{Bucket: &c.Bucket})
	if err != nil {
		t.Fatalf("making a bucket: %v", err)
	}
	s.Proxy.Reset()
	return c
}

// Client returns a client of a bucket that exists.
func (s *Server) Client(bucket string) *Client {
	return &Client{Bucket: bucket, Client: awss3.New(awss3.Options{
		BaseEndpoint: &s.Endpoint,
		Region:       Region,
		UsePathStyle: true,
		Credentials:  credentials.NewStaticCredentialsProvider(s.AccessKey, s.SecretKey, ""),
	})}
}

// Write writes an object.
func (c *Client) Write(ctx context.Context, key string, data []byte) error {
	_, err := c.PutObject(ctx, &awss3.PutObjectInput{Bucket: &c.Bucket, Key: &key, Body: bytes.NewReader(data)})
	return err
}

// Put writes an object; not being able to fails the test.
func (c *Client) Put(t testing.TB, key string, data []byte) {
	t.Helper()
	if err := c.Write(t.Context(), key, data); err != nil {
		t.Fatalf("putting %q: %v", key, err)
	}
}

// Get reads a whole object; a missing one fails the test.
func (c *Client) Get(t testing.TB, key string) []byte {
	t.Helper()
	data, err := c.Read(t.Context(), key)
	if err != nil {
		t.Fatalf("getting %q: %v", key, err)
	}
	return data
}

// Read reads a whole object.
func (c *Client) Read(ctx context.Context, key string) (data []byte, err error) {
	out, err := c.GetObject(ctx, &awss3.GetObjectInput{Bucket: &c.Bucket, Key: &key})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, out.Body.Close()) }()
	return io.ReadAll(out.Body)
}

// Has reports whether there is such an object.
func (c *Client) Has(t testing.TB, key string) bool {
	t.Helper()
	_, err := c.HeadObject(t.Context(), &awss3.HeadObjectInput{Bucket: &c.Bucket, Key: &key})
	var missing *types.NotFound
	if err != nil && !errors.As(err, &missing) {
		t.Fatalf("asking for %q: %v", key, err)
	}
	return err == nil
}

// Head returns an object's headers and metadata.
func (c *Client) Head(t testing.TB, key string) *awss3.HeadObjectOutput {
	t.Helper()
	out, err := c.HeadObject(t.Context(), &awss3.HeadObjectInput{Bucket: &c.Bucket, Key: &key})
	if err != nil {
		t.Fatalf("asking for %q: %v", key, err)
	}
	return out
}

// Delete removes an object.
func (c *Client) Delete(t testing.TB, key string) {
	t.Helper()
	if _, err := c.DeleteObject(t.Context(), &awss3.DeleteObjectInput{Bucket: &c.Bucket, Key: &key}); err != nil {
		t.Fatalf("deleting %q: %v", key, err)
	}
}

// Keys returns all keys that begin with prefix, in the order of the listing.
func (c *Client) Keys(t testing.TB, prefix string) []string {
	t.Helper()
	var keys []string
	pages := awss3.NewListObjectsV2Paginator(c.Client, &awss3.ListObjectsV2Input{Bucket: &c.Bucket, Prefix: &prefix})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatalf("listing %q: %v", prefix, err)
		}
		for _, o := range page.Contents {
			keys = append(keys, aws.ToString(o.Key))
		}
	}
	return keys
}

// Pending returns the keys of unfinished multipart uploads.
func (c *Client) Pending(ctx context.Context) ([]string, error) {
	uploads, err := c.Uploads(ctx)
	var keys []string
	for _, u := range uploads {
		keys = append(keys, aws.ToString(u.Key))
	}
	slices.Sort(keys)
	return keys, err
}

// Uploads returns the unfinished multipart uploads.
func (c *Client) Uploads(ctx context.Context) ([]types.MultipartUpload, error) {
	var uploads []types.MultipartUpload
	pages := awss3.NewListMultipartUploadsPaginator(c.Client, &awss3.ListMultipartUploadsInput{Bucket: &c.Bucket})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("listing uploads: %w", err)
		}
		uploads = append(uploads, page.Uploads...)
	}
	return uploads, nil
}
