package s3

import (
	"context"
	"errors"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"
)

// Check asks the server for one entry of the bucket, to find out before
// anything depends on it whether the bucket can be used. It corrects the region
// and learns the server's clock. The error's kind tells what is wrong:
// ErrCredentials (Code says whether the key or the secret), ErrNoBucket,
// ErrDenied (the key works, but must not list), ErrUntrusted, ErrRegion, or
// ErrUnavailable (with Status 0 if there was no answer at all).
func (c *Client) Check(ctx context.Context) error {
	var err error
	for range 3 { // wrong region, then wrong clock, then it must work
		_, err = c.sdk().ListObjectsV2(ctx, &sdk.ListObjectsV2Input{
			Bucket: c.bucket, MaxKeys: aws.Int32(1), RequestPayer: c.payer,
		})
		if err == nil {
			return nil
		}
		e := classify(ctx, "ListObjectsV2", "", err)
		err = e
		region := e.header.Get(headerRegion)
		switch {
		case e.Code == "RequestTimeTooSkewed":
		case e.Kind == ErrRegion && region == "":
			if region = c.bucketRegion(ctx); region == "" {
				return e
			}
			fallthrough
		case e.Kind == ErrRegion && region != c.Region():
			c.cfg.Log.Info("bucket is in another region", "bucket", c.cfg.Bucket, "region", region, "configured", c.cfg.Region)
			c.connect(region)
		case e.Kind == ErrNotFound:
			e.Kind = ErrNoBucket
			return e
		default:
			return e
		}
	}
	return err
}

// bucketRegion asks for the region alone. Its answer to HEAD names it even to
// those who have no right to anything else.
func (c *Client) bucketRegion(ctx context.Context) string {
	out, err := c.sdk().HeadBucket(ctx, &sdk.HeadBucketInput{Bucket: c.bucket})
	if err == nil {
		return aws.ToString(out.BucketRegion)
	}
	var e *Error
	if errors.As(classify(ctx, "HeadBucket", "", err), &e) {
		return e.header.Get(headerRegion)
	}
	return ""
}
