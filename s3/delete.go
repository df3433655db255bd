package s3

import (
	"context"
	"errors"
	"slices"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// Delete implements [Bucket]. After a failure of a whole request the rest is
// still tried, but for one that would fail in the same way.
func (c *Client) Delete(ctx context.Context, targets ...Target) error {
	var failed DeleteError
	var bulk []Target
	for _, t := range targets {
		if len(targets) == 1 || !c.fitsBulk(t) {
			failed.add(t.Key, c.deleteOne(ctx, t))
		} else {
			bulk = append(bulk, t)
		}
	}
	for batch := range slices.Chunk(bulk, MaxDelete) {
		if stop := failed.First; stop != nil && hopeless(stop) {
			for _, t := range batch {
				failed.add(t.Key, stop)
			}
			continue
		}
		c.deleteBatch(ctx, batch, &failed)
	}
	return failed.orNil()
}

// hopeless says whether a failure has nothing to do with the object.
func hopeless(err error) bool {
	return errors.Is(err, ErrCanceled) || errors.Is(err, ErrCredentials) || errors.Is(err, ErrNoBucket) || errors.Is(err, ErrUntrusted)
}

// fitsBulk says whether t can be part of a bulk delete. Amazon compares ETags in
// one, many servers ignore them; and its document is XML, which cannot hold
// every key.
func (c *Client) fitsBulk(t Target) bool {
	if t.ETag != "" && !t.Weak && !isAmazon(c.endpoint) || !utf8.ValidString(t.Key) {
		return false
	}
	for _, r := range t.Key {
		if r < ' ' || r == 0x7f || r == 0xfffe || r == 0xffff {
			return false
		}
	}
	return true
}

func (c *Client) deleteOne(ctx context.Context, t Target) error {
	_, err := c.sdk().DeleteObject(ctx, &sdk.DeleteObjectInput{
		Bucket: c.bucket, Key: &t.Key, VersionId: opt(t.VersionID), IfMatch: opt(t.ETag), RequestPayer: c.payer,
	})
	if err == nil {
		return nil
	}
	e := classify(ctx, OpDelete, t.Key, err)
	if e.Kind == ErrNotFound {
		return nil
	}
	return e
}

// deleteBatch deletes with one request and adds to failed what it did not remove.
func (c *Client) deleteBatch(ctx context.Context, batch []Target, failed *DeleteError) {
	list := make([]types.ObjectIdentifier, len(batch))
	for i := range batch {
		list[i] = types.ObjectIdentifier{Key: &batch[i].Key, VersionId: opt(batch[i].VersionID)}
		if isAmazon(c.endpoint) {
			list[i].ETag = opt(batch[i].ETag)
		}
	}
	out, err := c.sdk().DeleteObjects(ctx, &sdk.DeleteObjectsInput{
		Bucket: c.bucket, Delete: &types.Delete{Objects: list, Quiet: aws.Bool(true)}, RequestPayer: c.payer,
	})
	if err != nil {
		e := classify(ctx, OpDelete, batch[0].Key, err)
		for _, t := range batch {
			failed.add(t.Key, e)
		}
		return
	}
	for _, f := range out.Errors {
		e := &Error{Op: OpDelete, Key: aws.ToString(f.Key), Code: aws.ToString(f.Code)}
		if text := aws.ToString(f.Message); text != "" {
			e.Err = errors.New(text)
		}
		if e.Kind = kindOf(e, nil); e.Kind != ErrNotFound {
			failed.add(e.Key, e)
		}
	}
}

func (e *DeleteError) add(key string, err error) {
	if err == nil {
		return
	}
	if e.First == nil {
		e.First, e.Failed = err, map[string]error{}
	}
	e.Failed[key] = err
}

func (e *DeleteError) orNil() error {
	if e.First == nil {
		return nil
	}
	return e
}
