package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go/encoding/httpbinding"
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
			VersionID:    version(out.VersionId),
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
		Object:   Object{Key: key, Size: size, ETag: *out.ETag, StorageClass: class(o.StorageClass), VersionID: version(out.VersionId)},
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

// Copy implements [Bucket].
func (c *Client) Copy(ctx context.Context, src Source, dst string, o CopyOptions) (Info, error) {
	in := &sdk.CopyObjectInput{
		Bucket: c.bucket, Key: &dst, CopySource: c.copySource(src), CopySourceIfMatch: opt(src.ETag), RequestPayer: c.payer,
		StorageClass: types.StorageClass(o.StorageClass), IfMatch: opt(o.IfMatch), IfNoneMatch: opt(o.IfNoneMatch),
		ChecksumAlgorithm: c.algorithm(),
	}
	if err := c.replaceAttributes(in, o); err != nil {
		return Info{}, &Error{Op: OpCopy, Key: dst, Kind: ErrInvalid, Err: err}
	}
	out, err := c.sdk().CopyObject(ctx, in)
	if err != nil {
		return Info{}, c.copyError(ctx, classify(ctx, OpCopy, dst, err), src, o)
	}
	r := out.CopyObjectResult
	if r == nil || aws.ToString(r.ETag) == "" {
		return Info{}, &Error{Op: OpCopy, Key: dst, Kind: ErrUnavailable, Err: errNoETag}
	}
	return Info{
		Object: Object{
			Key: dst, Size: -1, ETag: *r.ETag, LastModified: aws.ToTime(r.LastModified),
			StorageClass: class(o.StorageClass), VersionID: version(out.VersionId),
		},
		Checksum: checksum(r.ChecksumCRC64NVME, r.ChecksumCRC32, r.ChecksumCRC32C, r.ChecksumSHA1, r.ChecksumSHA256),
	}, nil
}

// replaceAttributes says in a copy request what differs from the source.
func (c *Client) replaceAttributes(in *sdk.CopyObjectInput, o CopyOptions) error {
	if o.DropTags {
		in.TaggingDirective, in.Tagging = types.TaggingDirectiveReplace, aws.String("")
	}
	a := Attributes{}
	if o.Attributes != nil {
		a = *o.Attributes
		in.MetadataDirective = types.MetadataDirectiveReplace
	}
	h, err := c.headers(a)
	if err != nil {
		return err
	}
	in.ContentType, in.ContentEncoding, in.ContentLanguage = h.contentType, h.contentEncoding, h.contentLanguage
	in.ContentDisposition, in.CacheControl, in.Expires = h.contentDisposition, h.cacheControl, h.expires
	in.WebsiteRedirectLocation, in.Metadata = h.websiteRedirect, h.metadata
	in.ServerSideEncryption, in.SSEKMSKeyId = h.encryption, h.kmsKey
	return nil
}

// copyError decides which of a copy's two objects a failure is about.
func (c *Client) copyError(ctx context.Context, e *Error, src Source, o CopyOptions) error {
	switch {
	case e.Kind == ErrChanged && o.IfNoneMatch != "":
		// Of the destination, unless the source's version was asked for, too.
		switch condition := e.header.Get(headerCondition); {
		case src.ETag == "":
			e.Kind = ErrExists
		case condition == "":
			return c.kindIfThere(ctx, e, e.Key, ErrExists)
		case !strings.Contains(strings.ToLower(condition), "copy-source"):
			e.Kind = ErrExists
		}
	case e.Kind == ErrNotFound && o.IfMatch != "" && src.Bucket == "":
		return c.kindIfThere(ctx, e, src.Key, ErrChanged) // then it is the destination that is gone
	}
	return e
}

// kindIfThere makes e of that kind if there is an object under key. When that
// cannot be found out, it returns why.
func (c *Client) kindIfThere(ctx context.Context, e *Error, key string, kind error) error {
	_, err := c.Head(ctx, key)
	switch {
	case err == nil:
		e.Kind = kind
	case !errors.Is(err, ErrNotFound):
		return err
	}
	return e
}

func (c *Client) copySource(src Source) *string {
	bucket := src.Bucket
	if bucket == "" {
		bucket = c.cfg.Bucket
	}
	s := bucket + "/" + httpbinding.EscapePath(src.Key, false)
	if src.VersionID != "" {
		s += "?versionId=" + url.QueryEscape(src.VersionID)
	}
	return &s
}

// headers is Attributes and encryption as the SDK's inputs want them.
type headers struct {
	contentType, contentEncoding, contentLanguage     *string
	contentDisposition, cacheControl, websiteRedirect *string
	expires                                           *time.Time
	metadata                                          map[string]string
	encryption                                        types.ServerSideEncryption
	kmsKey                                            *string
}

func (c *Client) headers(a Attributes) (headers, error) {
	if err := checkHeaders(a); err != nil {
		return headers{}, err
	}
	metadata, err := encodeMetadata(a.Metadata)
	if err != nil {
		return headers{}, err
	}
	h := headers{
		contentType: opt(a.ContentType), contentEncoding: opt(a.ContentEncoding), contentLanguage: opt(a.ContentLanguage),
		contentDisposition: opt(a.ContentDisposition), cacheControl: opt(a.CacheControl), websiteRedirect: opt(a.WebsiteRedirect),
		metadata:   metadata,
		encryption: types.ServerSideEncryption(c.cfg.Encryption.Algorithm), kmsKey: opt(c.cfg.Encryption.KMSKey),
	}
	if a.Expires != "" {
		t, err := http.ParseTime(a.Expires)
		if err != nil {
			return headers{}, fmt.Errorf("attribute Expires: %w", err)
		}
		h.expires = &t
	}
	return h, nil
}

// algorithm is what uploads are guarded with: the checksum that S3 keeps for
// whole objects, so that it can be compared however their parts were cut.
func (c *Client) algorithm() types.ChecksumAlgorithm {
	if c.checksums {
		return types.ChecksumAlgorithmCrc64nvme
	}
	return ""
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

// class is a storage class as Object has it.
func class(s string) string {
	if s == string(types.StorageClassStandard) {
		return ""
	}
	return s
}

// version is a version ID as Object has it. Objects that were there before the
// bucket had versions are called "null".
func version(id *string) string {
	if id == nil {
		return ""
	}
	return *id
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
