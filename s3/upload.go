package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// NewUpload implements [Bucket].
func (c *Client) NewUpload(ctx context.Context, key string, o PutOptions) (Upload, error) {
	h, err := c.headers(o.Attributes)
	if err != nil {
		return nil, &Error{Op: OpNewUpload, Key: key, Kind: ErrInvalid, Err: err}
	}
	in := &sdk.CreateMultipartUploadInput{
		Bucket: c.bucket, Key: &key, RequestPayer: c.payer,
		ContentType: h.contentType, ContentEncoding: h.contentEncoding, ContentLanguage: h.contentLanguage,
		ContentDisposition: h.contentDisposition, CacheControl: h.cacheControl, Expires: h.expires,
		WebsiteRedirectLocation: h.websiteRedirect, Metadata: h.metadata,
		StorageClass: types.StorageClass(o.StorageClass), Tagging: tagging(o.Tags),
		ServerSideEncryption: h.encryption, SSEKMSKeyId: h.kmsKey,
	}
	if c.checksums {
		in.ChecksumAlgorithm, in.ChecksumType = c.algorithm(), types.ChecksumTypeFullObject
	}
	out, err := c.sdk().CreateMultipartUpload(ctx, in)
	if err != nil {
		return nil, classify(ctx, OpNewUpload, key, err)
	}
	if aws.ToString(out.UploadId) == "" {
		return nil, &Error{Op: OpNewUpload, Key: key, Kind: ErrUnavailable, Err: errors.New("the answer names no upload")}
	}
	return &clientUpload{c: c, key: key, id: *out.UploadId, options: o, parts: map[int]Part{}}, nil
}

// clientUpload is a multipart upload on a server.
type clientUpload struct {
	c       *Client
	key, id string
	options PutOptions

	mu    sync.Mutex
	parts map[int]Part // guarded by mu; acknowledged ones
}

func (u *clientUpload) Key() string { return u.key }
func (u *clientUpload) ID() string  { return u.id }

func (u *clientUpload) fail(ctx context.Context, op string, err error) *Error {
	e := classify(ctx, op, u.key, err)
	if e.Kind == ErrNotFound && e.Code != "NoSuchKey" {
		e.Kind = ErrNoUpload
	}
	return e
}

// withoutContinue saves the round trip that asking for permission to send costs:
// a part is not refused after its upload was begun.
func withoutContinue(o *sdk.Options) { o.ContinueHeaderThresholdBytes = -1 }

func (u *clientUpload) Part(ctx context.Context, n int, body io.ReadSeeker) (Part, error) {
	size, err := sizeOf(body)
	if err != nil {
		return Part{}, &Error{Op: OpPart, Key: u.key, Kind: ErrInvalid, Err: fmt.Errorf("measuring the body: %w", err)}
	}
	out, err := u.c.sdk().UploadPart(ctx, &sdk.UploadPartInput{
		Bucket: u.c.bucket, Key: &u.key, UploadId: &u.id, PartNumber: aws.Int32(int32(n)), RequestPayer: u.c.payer,
		Body: body, ContentLength: &size, ChecksumAlgorithm: u.c.algorithm(),
	}, withoutContinue)
	if err != nil {
		return Part{}, u.fail(ctx, OpPart, err)
	}
	sum := checksum(out.ChecksumCRC64NVME, out.ChecksumCRC32, out.ChecksumCRC32C, out.ChecksumSHA1, out.ChecksumSHA256)
	return u.keep(OpPart, Part{Number: n, ETag: aws.ToString(out.ETag), Size: size, Checksum: sum})
}

func (u *clientUpload) CopyPart(ctx context.Context, n int, src Source, r Range) (Part, error) {
	r, err := u.resolve(ctx, src, r)
	if err != nil {
		return Part{}, err
	}
	text, err := r.header()
	if err != nil {
		return Part{}, &Error{Op: OpCopyPart, Key: u.key, Kind: ErrInvalid, Err: err}
	}
	out, err := u.c.sdk().UploadPartCopy(ctx, &sdk.UploadPartCopyInput{
		Bucket: u.c.bucket, Key: &u.key, UploadId: &u.id, PartNumber: aws.Int32(int32(n)), RequestPayer: u.c.payer,
		CopySource: u.c.copySource(src), CopySourceIfMatch: opt(src.ETag), CopySourceRange: &text,
	})
	if err != nil {
		e := u.fail(ctx, OpCopyPart, err)
		if e.Code == "InvalidRequest" || e.Code == "InvalidArgument" { // how S3 says that a range is outside
			return Part{}, u.explainRange(ctx, e, src, r)
		}
		return Part{}, e
	}
	p := out.CopyPartResult
	if p == nil {
		p = &types.CopyPartResult{}
	}
	sum := checksum(p.ChecksumCRC64NVME, p.ChecksumCRC32, p.ChecksumCRC32C, p.ChecksumSHA1, p.ChecksumSHA256)
	return u.keep(OpCopyPart, Part{Number: n, ETag: aws.ToString(p.ETag), Size: r.Length, Checksum: sum})
}

// resolve fills in the length of an open-ended range.
func (u *clientUpload) resolve(ctx context.Context, src Source, r Range) (Range, error) {
	if r.Length != 0 {
		return r, nil
	}
	if src.Bucket != "" {
		return r, &Error{Op: OpCopyPart, Key: u.key, Kind: ErrInvalid, Err: errors.New("the length of a range in another bucket must be given")}
	}
	info, err := u.c.Head(ctx, src.Key)
	if err != nil {
		return r, err
	}
	if r.Offset >= info.Size {
		return r, &Error{Op: OpCopyPart, Key: u.key, Kind: ErrRange}
	}
	r.Length = info.Size - r.Offset
	return r, nil
}

// explainRange tells a range outside the source from what else may be wrong.
func (u *clientUpload) explainRange(ctx context.Context, e *Error, src Source, r Range) error {
	if src.Bucket != "" {
		return e
	}
	info, err := u.c.Head(ctx, src.Key)
	switch {
	case err == nil && r.Offset+r.Length > info.Size:
		e.Kind = ErrRange
	case err != nil && !errors.Is(err, ErrNotFound):
		return err
	}
	return e
}

// keep remembers an acknowledged part.
func (u *clientUpload) keep(op string, p Part) (Part, error) {
	if p.ETag == "" {
		return Part{}, &Error{Op: op, Key: u.key, Kind: ErrUnavailable, Err: errNoETag}
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.parts[p.Number] = p
	return p, nil
}

func (u *clientUpload) Parts() []Part {
	u.mu.Lock()
	defer u.mu.Unlock()
	list := make([]Part, 0, len(u.parts))
	for _, p := range u.parts {
		list = append(list, p)
	}
	slices.SortFunc(list, func(a, b Part) int { return a.Number - b.Number })
	return list
}

func (u *clientUpload) Complete(ctx context.Context) (Info, error) {
	parts := u.Parts()
	if len(parts) == 0 {
		return Info{}, &Error{Op: OpCompleteUpload, Key: u.key, Kind: ErrInvalid, Err: errors.New("an upload needs a part")}
	}
	list := make([]types.CompletedPart, len(parts))
	var size int64
	for i, p := range parts {
		list[i] = completed(p)
		size += p.Size
	}
	in := &sdk.CompleteMultipartUploadInput{
		Bucket: u.c.bucket, Key: &u.key, UploadId: &u.id, RequestPayer: u.c.payer,
		MultipartUpload: &types.CompletedMultipartUpload{Parts: list},
		IfMatch:         opt(u.options.IfMatch), IfNoneMatch: opt(u.options.IfNoneMatch),
	}
	if u.c.checksums {
		in.MpuObjectSize = &size
	}
	out, err := u.c.sdk().CompleteMultipartUpload(ctx, in)
	if err != nil {
		return Info{}, conditional(u.fail(ctx, OpCompleteUpload, err), u.options.IfMatch, u.options.IfNoneMatch)
	}
	if aws.ToString(out.ETag) == "" {
		return Info{}, &Error{Op: OpCompleteUpload, Key: u.key, Kind: ErrUnavailable, Err: errNoETag}
	}
	return Info{
		Object: Object{
			Key: u.key, Size: size, ETag: *out.ETag, StorageClass: class(u.options.StorageClass), VersionID: aws.ToString(out.VersionId),
		},
		Checksum: checksum(out.ChecksumCRC64NVME, out.ChecksumCRC32, out.ChecksumCRC32C, out.ChecksumSHA1, out.ChecksumSHA256),
		Parts:    partsOf(*out.ETag),
	}, nil
}

// completed names a part in the request that completes its upload, with the
// checksum that the server told for it.
func completed(p Part) types.CompletedPart {
	out := types.CompletedPart{PartNumber: aws.Int32(int32(p.Number)), ETag: &p.ETag}
	algorithm, sum, _ := strings.Cut(p.Checksum, ":")
	switch algorithm {
	case "crc64nvme":
		out.ChecksumCRC64NVME = &sum
	case "crc32":
		out.ChecksumCRC32 = &sum
	case "crc32c":
		out.ChecksumCRC32C = &sum
	case "sha1":
		out.ChecksumSHA1 = &sum
	case "sha256":
		out.ChecksumSHA256 = &sum
	}
	return out
}

func (u *clientUpload) Abort(ctx context.Context) error {
	_, err := u.c.sdk().AbortMultipartUpload(ctx, &sdk.AbortMultipartUploadInput{
		Bucket: u.c.bucket, Key: &u.key, UploadId: &u.id, RequestPayer: u.c.payer,
	})
	if err == nil {
		return nil
	}
	if e := u.fail(ctx, OpAbortUpload, err); e.Kind != ErrNoUpload {
		return e
	}
	return nil
}
