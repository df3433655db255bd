package command

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"time"

	"github.com/cgs3fs/cgs3fs/s3"
)

// writeTest writes an object of its own, tries on it what a mount relies on, and
// deletes it.
func (e *examination) writeTest(ctx context.Context, b s3.Bucket) {
	key := ".cgs3fs-doctor-" + rand.Text()
	content := []byte("written by cgs3fs doctor --write-test; may be deleted\n")
	put := func(o s3.PutOptions) (s3.Info, error) { return b.Put(ctx, key, bytes.NewReader(content), o) }
	info, err := put(s3.PutOptions{})
	if err != nil {
		e.may("writing", "", "the key may not write objects", err)
		return
	}
	defer e.removeProbe(ctx, b, key)
	e.readBack(ctx, b, key, content)
	_, createErr := put(s3.PutOptions{IfNoneMatch: "*"})
	_, matchErr := put(s3.PutOptions{IfMatch: `"00000000000000000000000000000000"`})
	switch {
	case errors.Is(createErr, s3.ErrExists) && errors.Is(matchErr, s3.ErrChanged):
		e.ok("conditional writes", "the server refuses to overwrite what it should not")
	case createErr == nil || matchErr == nil:
		e.warn("conditional writes", "let only one program write at a time", "the server ignores conditions: two writers may overwrite each other unseen")
	default:
		e.may("conditional writes", "", "the key may not write on a condition", errors.Join(createErr, matchErr))
	}
	if head, err := b.Head(ctx, key); err == nil && (info.Checksum != "" || head.Checksum != "") {
		e.ok("checksums", "the server keeps checksums of objects")
	} else {
		e.skip("checksums", "the server tells no checksums; sizes and ETags are compared instead")
	}
	_, err = b.Copy(ctx, s3.Source{Key: key}, key+".copy", s3.CopyOptions{})
	e.may("copying", "objects can be copied and renamed", "the key may not copy objects: nothing can be renamed", err)
	if err == nil {
		defer e.removeProbe(ctx, b, key+".copy")
	}
	e.multipart(ctx, b, key+".large")
}

func (e *examination) readBack(ctx context.Context, b s3.Bucket, key string, want []byte) {
	body, err := b.Get(ctx, key, s3.GetOptions{})
	var got []byte
	if err == nil {
		got, err = io.ReadAll(body)
		err = errors.Join(err, body.Close())
	}
	if err == nil && !bytes.Equal(got, want) {
		err = fail(exitDiffers, "what was written is not what is read")
	}
	e.may("writing", "an object was written and read back", "what the key writes it may not read", err)
}

// multipart begins an upload and gives it up.
func (e *examination) multipart(ctx context.Context, b s3.Bucket, key string) {
	u, err := b.NewUpload(ctx, key, s3.PutOptions{})
	if err == nil {
		_, partErr := u.Part(ctx, 1, bytes.NewReader([]byte("part")))
		err = errors.Join(partErr, u.Abort(context.WithoutCancel(ctx)))
	}
	e.may("large files", "objects can be uploaded in parts", "the key may not upload in parts: large files fail", err)
}

// removeProbe deletes what the test has written, also after an interruption.
func (e *examination) removeProbe(ctx context.Context, b s3.Bucket, key string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	if err := b.Delete(ctx, s3.Target{Key: key}); err != nil {
		e.warn("deleting", "delete it by hand", "the test's object %s could not be deleted: %v", key, err)
	}
}
