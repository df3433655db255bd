package fs

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cgs3fs/cgs3fs/s3"
	"github.com/cgs3fs/cgs3fs/s3/s3test"
)

// withDirectories is a bucket that removes no directory in which something is.
type withDirectories struct {
	s3.Bucket
	mem *s3test.Mem
}

func (b withDirectories) Delete(ctx context.Context, targets ...s3.Target) error {
	time.Sleep(time.Duration(len(targets)) * time.Millisecond)
	for _, t := range targets {
		page, err := b.mem.ListPage(ctx, s3.ListInput{Prefix: t.Key, StartAfter: t.Key, Max: 1})
		if err == nil && strings.HasSuffix(t.Key, "/") && len(page.Objects) > 0 {
			err = &s3.Error{Op: s3.OpDelete, Key: t.Key, Kind: s3.ErrInvalid}
		}
		if err == nil {
			err = b.Bucket.Delete(ctx, t)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// More directories than fit one batch go from the deepest up, on every server.
func TestRenameOfManyDirectories(t *testing.T) {
	synctest.Test(t, renameDirectories)
}

func renameDirectories(t *testing.T) {
	mem := simBucket()
	mem.PutBytes("d/", nil)
	for i := range 2 * deleteBatch {
		mem.PutBytes(fmt.Sprintf("d/%d/", i%10), nil)
		mem.PutBytes(fmt.Sprintf("d/%d/%d/", i%10, i), nil)
	}
	mem.PutBytes("d/1/1/file", []byte("content"))
	before := len(mem.Keys())
	m := newSimMount(t, mem, privateDir(t), simConfig{Config: Config{TTL: time.Minute, NegativeTTL: time.Minute}})
	m.fs.bucket = withDirectories{m.fs.bucket, mem}
	if _, _, errno := m.k.rename("d", "e"); errno != 0 {
		t.Error(errno)
	}
	for _, key := range mem.Keys() {
		if !strings.HasPrefix(key, "e/") {
			t.Fatalf("%s is left", key)
		}
	}
	if after := len(mem.Keys()); after != before {
		t.Errorf("there were %d objects, and are %d", before, after)
	}
	if err := m.end(); err != nil {
		t.Error(err)
	}
}
