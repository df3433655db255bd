package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"time"

	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"golang.org/x/sync/errgroup"

	"github.com/cgs3fs/cgs3fs/tests/harness"
)

// bench is one server and the content that the rows read.
type bench struct {
	set      settings
	server   *harness.Server
	client   *harness.Client
	endpoint string // the server itself, without the counting proxy
	bucket   string
	noise    []byte // what files are made of
}

func newBench(ctx context.Context, set settings) (*bench, error) {
	for _, name := range set.programs {
		if programs[name] == nil {
			return nil, fmt.Errorf("no program %q", name)
		}
	}
	address, err := harness.FreeAddress()
	if err != nil {
		return nil, err
	}
	server, err := harness.Start(harness.Config{Dir: set.dir, Address: address})
	if err != nil {
		return nil, err
	}
	b := &bench{
		set: set, server: server, endpoint: "http://" + address,
		bucket: "bench", client: server.Client("bench"), noise: make([]byte, 64<<20),
	}
	if _, err := io.ReadFull(rand.NewChaCha8([32]byte{}), b.noise); err != nil {
		return nil, errors.Join(err, server.Stop())
	}
	if err := b.prepare(ctx); err != nil {
		return nil, errors.Join(err, server.Stop())
	}
	return b, nil
}

func (b *bench) close() error { return b.server.Stop() }

func (b *bench) credentials() []string {
	return []string{
		"AWS_ACCESS_KEY_ID=" + b.server.AccessKey, "AWS_SECRET_ACCESS_KEY=" + b.server.SecretKey,
		// s3fs has names of its own.
		"AWSACCESSKEYID=" + b.server.AccessKey, "AWSSECRETACCESSKEY=" + b.server.SecretKey,
	}
}

// prepare writes the objects that the rows read: nobody's mount made them.
func (b *bench) prepare(ctx context.Context) error {
	if _, err := b.client.CreateBucket(ctx, &awss3.CreateBucketInput{Bucket: &b.bucket}); err != nil {
		return err
	}
	err := errors.Join(
		b.fill(ctx, "read/big", 1, b.big()),
		b.fill(ctx, "read/part%d", readers, b.big()/readers),
		b.fill(ctx, "small/%04d", b.smalls(), smallSize),
		b.fill(ctx, "list/%05d", b.listed(), 10),
	)
	for i := range b.listed() / 20 {
		err = errors.Join(err, b.fill(ctx, fmt.Sprintf("tree/%03d/", i)+"%d", 10, 10))
	}
	return err
}

// fill makes n objects; key has a verb for their number, but for a single one.
func (b *bench) fill(ctx context.Context, key string, n, size int) error {
	var g errgroup.Group
	g.SetLimit(8)
	for i := range n {
		key := key
		if n > 1 {
			key = fmt.Sprintf(key, i)
		}
		g.Go(func() error {
			data := b.content(size)
			_, err := b.client.PutObject(ctx, &awss3.PutObjectInput{Bucket: &b.bucket, Key: &key, Body: data, ContentLength: new(int64(size))})
			return err
		})
	}
	return g.Wait()
}

// content is size bytes; the SDK wants to seek in what it sends.
func (b *bench) content(size int) io.ReadSeeker {
	if size <= len(b.noise) {
		return bytes.NewReader(b.noise[:size])
	}
	return bytes.NewReader(bytes.Repeat(b.noise, (size+len(b.noise)-1)/len(b.noise))[:size])
}

func (b *bench) big() int    { return 1 << 30 / b.set.scale &^ (readers*copySize - 1) }
func (b *bench) smalls() int { return 1000 / b.set.scale }
func (b *bench) listed() int { return 10_000 / b.set.scale }

// arrived waits until S3 holds n objects of size bytes below prefix, and
// removes them.
func (b *bench) arrived(ctx context.Context, prefix string, n int, size int64) (time.Time, error) {
	for deadline := time.Now().Add(patience); ; time.Sleep(2 * time.Millisecond) {
		keys, err := b.list(ctx, prefix, size)
		if err != nil {
			return time.Time{}, err
		}
		if len(keys) == n {
			return time.Now(), b.remove(ctx, prefix)
		}
		if time.Now().After(deadline) {
			return time.Time{}, fmt.Errorf("after %v S3 holds %d of %d files", patience, len(keys), n)
		}
	}
}

// list returns the keys of objects of exactly size bytes; a size below zero is any.
func (b *bench) list(ctx context.Context, prefix string, size int64) ([]types.ObjectIdentifier, error) {
	var keys []types.ObjectIdentifier
	pages := awss3.NewListObjectsV2Paginator(b.client, &awss3.ListObjectsV2Input{Bucket: &b.bucket, Prefix: &prefix})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, o := range page.Contents {
			if size < 0 || *o.Size == size {
				keys = append(keys, types.ObjectIdentifier{Key: o.Key})
			}
		}
	}
	return keys, nil
}

func (b *bench) remove(ctx context.Context, prefix string) error {
	keys, err := b.list(ctx, prefix, -1)
	if err != nil {
		return err
	}
	for some := range slices.Chunk(keys, 1000) {
		_, err := b.client.DeleteObjects(ctx, &awss3.DeleteObjectsInput{Bucket: &b.bucket, Delete: &types.Delete{Objects: some}})
		if err != nil {
			return err
		}
	}
	return nil
}

// dropPageCache makes the next read of anything a real one, where we may.
func dropPageCache() {
	if f, err := os.OpenFile("/proc/sys/vm/drop_caches", os.O_WRONLY, 0); err == nil {
		f.WriteString("1")
		f.Close()
	}
}
