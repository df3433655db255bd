package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// Put implements [Bucket].
func (c *Client) Put(ctx context.Context, key string, body io.ReadSeeker, o PutOptions) (Info, error) {
	size, err := sizeOf(body)
	if err != nil {
		return Info{}, &Error{Op: OpPut, Key: key, Kind: ErrInvalid, Err: fmt.Errorf("measuring the body: %w", err)}
	}
	h, err := c.headers(o.Attributes)
	if err != nil {
		return Info{}, &Error{Op: OpPut, Key: key, Kind: ErrInvalid, Err: err}
	}
	out, err := c.sdk().PutObject(ctx, &sdk.PutObjectInput{
		Bucket: c.bucket, Key: &key, Body: body, ContentLength: &size, RequestPayer: c.payer,
		ContentType: h.contentType, ContentEncoding: h.contentEncoding, ContentLanguage: h.contentLanguage,
		ContentDisposition: h.contentDisposition, CacheControl: h.cacheControl, Expires: h.expires,
		WebsiteRedirectLocation: h.websiteRedirect, Metadata: h.metadata,
		StorageClass: types.StorageClass(o.StorageClass), Tagging: tagging(o.Tags),
		ServerSideEncryption: h.encryption, SSEKMSKeyId: h.kmsKey,
		IfMatch: opt(o.IfMatch), IfNoneMatch: opt(o.IfNoneMatch), ChecksumAlgorithm: c.algorithm(),
	})
	if err != nil {
		return Info{}, conditional(classify(ctx, OpPut, key, err), o.IfMatch, o.IfNoneMatch)
	}
	if aws.ToString(out.ETag) == "" {
		return Info{}, &Error{Op: OpPut, Key: key, Kind: ErrUnavailable, Err: errNoETag}
	}
	return Info{
		Object:   Object{Key: key, Size: size, ETag: *out.ETag, StorageClass: class(o.StorageClass), VersionID: aws.ToString(out.VersionId)},
		Checksum: checksum(out.ChecksumCRC64NVME, out.ChecksumCRC32, out.ChecksumCRC32C, out.ChecksumSHA1, out.ChecksumSHA256),
	}, nil
}

// errNoETag is an answer that tells of no new version, so that nobody knows
// whether there is one.
var errNoETag = errors.New("the answer is empty")

// conditional makes the kinds of a conditional write's failure those that
// PutOptions promise.
func conditional(e *Error, ifMatch, ifNoneMatch string) *Error {
	switch {
	case e.Kind == ErrChanged && ifNoneMatch != "":
		e.Kind = ErrExists
	case e.Kind == ErrNotFound && ifMatch != "": // the object that was to be replaced is gone
		e.Kind = ErrChanged
	}
	return e
}

// algorithm is what uploads are guarded with: the checksum that S3 keeps for
// whole objects, so that it can be compared however their parts were cut.
func (c *Client) algorithm() types.ChecksumAlgorithm {
	if c.checksums {
		return types.ChecksumAlgorithmCrc64nvme
	}
	return ""
}

func tagging(tags map[string]string) *string {
	if len(tags) == 0 {
		return nil
	}
	q := url.Values{}
	for k, v := range tags {
		q.Set(k, v)
	}
	return aws.String(q.Encode())
}

// sizeOf returns how many bytes there are from where r stands to its end.
func sizeOf(r io.Seeker) (int64, error) {
	start, err := r.Seek(0, io.SeekCurrent)
	if err != nil {
		return 0, err
	}
	end, err := r.Seek(0, io.SeekEnd)
	if err != nil {
		return 0, err
	}
	_, err = r.Seek(start, io.SeekStart)
	return end - start, err
}
