package s3

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// ResumeUpload implements [Bucket].
func (c *Client) ResumeUpload(ctx context.Context, key, id string, o PutOptions) (Upload, error) {
	u := &clientUpload{c: c, key: key, id: id, options: o, parts: map[int]Part{}}
	in := &sdk.ListPartsInput{Bucket: c.bucket, Key: &key, UploadId: &id, RequestPayer: c.payer}
	for range MaxParts {
		out, err := c.sdk().ListParts(ctx, in)
		if err != nil {
			return nil, u.fail(ctx, OpListParts, err)
		}
		for _, p := range out.Parts {
			n := int(aws.ToInt32(p.PartNumber))
			u.parts[n] = Part{
				Number: n, ETag: aws.ToString(p.ETag), Size: aws.ToInt64(p.Size),
				Checksum: checksum(p.ChecksumCRC64NVME, p.ChecksumCRC32, p.ChecksumCRC32C, p.ChecksumSHA1, p.ChecksumSHA256),
			}
		}
		if out.IsTruncated == nil {
			break
		}
		if !*out.IsTruncated {
			return u, nil
		}
		if aws.ToString(out.NextPartNumberMarker) == aws.ToString(in.PartNumberMarker) {
			break
		}
		in.PartNumberMarker = out.NextPartNumberMarker
	}
	return nil, &Error{Op: OpListParts, Key: key, Kind: ErrCorrupt, Err: errors.New("the list of parts does not end")}
}

// maxUploads is how many pending uploads are listed, a bound against lists that
// never end.
const maxUploads = 1_000_000

// ListUploads implements [Bucket].
func (c *Client) ListUploads(ctx context.Context, prefix string) ([]PendingUpload, error) {
	in := &sdk.ListMultipartUploadsInput{
		Bucket: c.bucket, Prefix: opt(prefix), EncodingType: types.EncodingTypeUrl, RequestPayer: c.payer,
	}
	corrupt := func(err error) error {
		return &Error{Op: OpListUploads, Key: prefix, Kind: ErrCorrupt, Err: err}
	}
	var list []PendingUpload
	for len(list) <= maxUploads {
		out, err := c.sdk().ListMultipartUploads(ctx, in)
		if err != nil {
			return nil, classify(ctx, OpListUploads, prefix, err)
		}
		for _, u := range out.Uploads {
			key := aws.ToString(u.Key)
			if out.EncodingType == types.EncodingTypeUrl {
				if key, err = url.QueryUnescape(key); err != nil {
					return nil, corrupt(err)
				}
			}
			if !strings.HasPrefix(key, prefix) {
				return nil, corrupt(fmt.Errorf("the upload of %q lacks the prefix", key))
			}
			list = append(list, PendingUpload{Key: key, ID: aws.ToString(u.UploadId), Initiated: aws.ToTime(u.Initiated)})
		}
		if out.IsTruncated == nil {
			break
		}
		if !*out.IsTruncated {
			return list, nil
		}
		next, err := nextUploads(in, out)
		if err != nil {
			return nil, corrupt(err)
		}
		in = next
	}
	return nil, corrupt(errors.New("the list of uploads does not end"))
}

// nextUploads asks for the page after out.
func nextUploads(in *sdk.ListMultipartUploadsInput, out *sdk.ListMultipartUploadsOutput) (*sdk.ListMultipartUploadsInput, error) {
	next := *in
	next.UploadIdMarker = opt(aws.ToString(out.NextUploadIdMarker))
	key := aws.ToString(out.NextKeyMarker)
	if out.EncodingType == types.EncodingTypeUrl {
		var err error
		if key, err = url.QueryUnescape(key); err != nil {
			return nil, err
		}
	}
	next.KeyMarker = opt(key)
	if key == aws.ToString(in.KeyMarker) && aws.ToString(next.UploadIdMarker) == aws.ToString(in.UploadIdMarker) {
		return nil, errors.New("the next page is this one again")
	}
	return &next, nil
}
