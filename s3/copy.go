package s3

import (
	"context"
	"errors"
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go/encoding/httpbinding"
)

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
			StorageClass: class(o.StorageClass), VersionID: aws.ToString(out.VersionId),
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
