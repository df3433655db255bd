package s3

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// Head implements [Bucket].
func (c *Client) Head(ctx context.Context, key string) (Info, error) {
	in := &sdk.HeadObjectInput{Bucket: c.bucket, Key: &key, RequestPayer: c.payer}
	if c.checksums {
		in.ChecksumMode = types.ChecksumModeEnabled
	}
	out, err := c.sdk().HeadObject(ctx, in)
	if err != nil {
		return Info{}, c.explainHead(ctx, classify(ctx, OpHead, key, err))
	}
	if aws.ToString(out.ETag) == "" {
		return Info{}, &Error{Op: OpHead, Key: key, Kind: ErrUnavailable, Err: errNotS3}
	}
	info := Info{
		Object: Object{
			Key:          key,
			Size:         aws.ToInt64(out.ContentLength),
			ETag:         aws.ToString(out.ETag),
			LastModified: aws.ToTime(out.LastModified),
			StorageClass: class(string(out.StorageClass)),
			VersionID:    aws.ToString(out.VersionId),
		},
		Attributes: Attributes{
			ContentType:        aws.ToString(out.ContentType),
			ContentEncoding:    aws.ToString(out.ContentEncoding),
			ContentLanguage:    aws.ToString(out.ContentLanguage),
			ContentDisposition: aws.ToString(out.ContentDisposition),
			CacheControl:       aws.ToString(out.CacheControl),
			Expires:            aws.ToString(out.ExpiresString),
			WebsiteRedirect:    aws.ToString(out.WebsiteRedirectLocation),
			Metadata:           decodeMetadata(out.Metadata),
		},
		Tags:     int(aws.ToInt32(out.TagCount)),
		Checksum: checksum(out.ChecksumCRC64NVME, out.ChecksumCRC32, out.ChecksumCRC32C, out.ChecksumSHA1, out.ChecksumSHA256),
	}
	info.Parts = partsOf(info.ETag)
	return info, nil
}

// explainHead finds out why a Head was refused, as its answer has no body. A Get
// of the same key is refused for the same reason, and says which. If it is not,
// the reason was a passing one.
func (c *Client) explainHead(ctx context.Context, e *Error) error {
	if e.Status != http.StatusForbidden && e.Status != http.StatusBadRequest {
		return e
	}
	body, err := c.Get(ctx, e.Key, GetOptions{Range: Range{Length: 1}})
	var why *Error
	switch {
	case err == nil:
		body.Close()
		e.Kind = ErrUnavailable
	case errors.Is(err, ErrRange): // an empty object
		e.Kind = ErrUnavailable
	case errors.As(err, &why):
		why.Op = OpHead
		return why
	}
	return e
}

// checksum is the first that the server told, as Info.Checksum has it.
func checksum(crc64nvme, crc32, crc32c, sha1, sha256 *string) string {
	switch {
	case crc64nvme != nil:
		return "crc64nvme:" + *crc64nvme
	case crc32 != nil:
		return "crc32:" + *crc32
	case crc32c != nil:
		return "crc32c:" + *crc32c
	case sha256 != nil:
		return "sha256:" + *sha256
	case sha1 != nil:
		return "sha1:" + *sha1
	}
	return ""
}

// infoOf is what a Get tells.
func infoOf(key string, out *sdk.GetObjectOutput) Info {
	info := Info{
		Object: Object{
			Key:          key,
			ETag:         aws.ToString(out.ETag),
			LastModified: aws.ToTime(out.LastModified),
			StorageClass: class(string(out.StorageClass)),
			VersionID:    aws.ToString(out.VersionId),
		},
		Attributes: Attributes{
			ContentType:        aws.ToString(out.ContentType),
			ContentEncoding:    aws.ToString(out.ContentEncoding),
			ContentLanguage:    aws.ToString(out.ContentLanguage),
			ContentDisposition: aws.ToString(out.ContentDisposition),
			CacheControl:       aws.ToString(out.CacheControl),
			Expires:            aws.ToString(out.ExpiresString),
			WebsiteRedirect:    aws.ToString(out.WebsiteRedirectLocation),
			Metadata:           decodeMetadata(out.Metadata),
		},
		Tags:     int(aws.ToInt32(out.TagCount)),
		Checksum: checksum(out.ChecksumCRC64NVME, out.ChecksumCRC32, out.ChecksumCRC32C, out.ChecksumSHA1, out.ChecksumSHA256),
	}
	info.Parts = partsOf(info.ETag)
	return info
}

// class is a storage class as Object has it.
func class(s string) string {
	if s == string(types.StorageClassStandard) {
		return ""
	}
	return s
}

// partsOf reads the number of parts out of a multipart object's ETag, which
// ends in "-" and that number.
func partsOf(etag string) int {
	_, number, found := strings.Cut(strings.Trim(etag, `"`), "-")
	if n, err := strconv.Atoi(number); found && err == nil && n >= 1 && n <= MaxParts {
		return n
	}
	return 0
}
