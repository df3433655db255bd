package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// Get implements [Bucket].
func (c *Client) Get(ctx context.Context, key string, o GetOptions) (*Body, error) {
	in := &sdk.GetObjectInput{
		Bucket: c.bucket, Key: &key, RequestPayer: c.payer,
		IfMatch: opt(o.IfMatch), IfNoneMatch: opt(o.IfNoneMatch), VersionId: opt(o.VersionID),
	}
	if o.Range != (Range{}) {
		text, err := o.Range.header()
		if err != nil {
			return nil, &Error{Op: OpGet, Key: key, Kind: ErrInvalid, Err: err}
		}
		in.Range = &text
	} else if c.checksums {
		in.ChecksumMode = types.ChecksumModeEnabled
	}
	out, err := c.sdk().GetObject(ctx, in)
	if err != nil {
		return nil, classify(ctx, OpGet, key, err)
	}
	info := infoOf(key, out)
	if info.ETag == "" {
		out.Body.Close()
		return nil, &Error{Op: OpGet, Key: key, Kind: ErrUnavailable, Err: errNotS3}
	}
	run, err := delivered(o.Range, aws.ToString(out.ContentRange), aws.ToInt64(out.ContentLength))
	if err != nil {
		out.Body.Close()
		return nil, &Error{Op: OpGet, Key: key, Kind: ErrCorrupt, Err: err}
	}
	info.Size = run.size
	b := &getBody{ctx: ctx, key: key, body: out.Body, left: run.Length, exact: run.exact}
	return &Body{ReadCloser: b, Info: info, Range: run.Range}, nil
}

// header is r as the value of a Range header.
func (r Range) header() (string, error) {
	switch {
	case r.Offset < 0 || r.Length < 0 || r.Offset+r.Length < 0:
		return "", fmt.Errorf("no such range: %d bytes from %d on", r.Length, r.Offset)
	case r.Length == 0:
		return fmt.Sprintf("bytes=%d-", r.Offset), nil
	}
	return fmt.Sprintf("bytes=%d-%d", r.Offset, r.Offset+r.Length-1), nil
}

// run is what a server delivers of an object of the given size.
type run struct {
	Range
	size  int64
	exact bool // nothing follows in the body
}

// delivered checks that a server sends the range that was asked for.
func delivered(asked Range, contentRange string, contentLength int64) (run, error) {
	if contentLength < 0 {
		return run{}, errors.New("the server does not say how much it sends")
	}
	if contentRange == "" {
		if asked.Offset != 0 {
			return run{}, errors.New("the server ignores that only a range was asked for")
		}
		r := run{Range: Range{Length: contentLength}, size: contentLength, exact: true}
		if asked.Length > 0 && asked.Length < contentLength {
			r.Length, r.exact = asked.Length, false
		}
		return r, nil
	}
	first, last, size, err := parseContentRange(contentRange)
	if err != nil {
		return run{}, err
	}
	got := Range{Offset: first, Length: last - first + 1}
	want := size - asked.Offset
	if asked.Length > 0 {
		want = min(want, asked.Length)
	}
	if got.Offset != asked.Offset || got.Length != want || got.Length != contentLength {
		return run{}, fmt.Errorf("asked for %d bytes from %d on, got %d bytes of %q", asked.Length, asked.Offset, contentLength, contentRange)
	}
	return run{Range: got, size: size, exact: true}, nil
}

// parseContentRange reads "bytes FIRST-LAST/SIZE" (RFC 9110, 14.4).
func parseContentRange(s string) (first, last, size int64, err error) {
	run, total, ok1 := strings.Cut(strings.TrimPrefix(s, "bytes "), "/")
	from, to, ok2 := strings.Cut(run, "-")
	first, err1 := strconv.ParseInt(from, 10, 64)
	last, err2 := strconv.ParseInt(to, 10, 64)
	size, err3 := strconv.ParseInt(total, 10, 64)
	if !ok1 || !ok2 || errors.Join(err1, err2, err3) != nil || first < 0 || last < first || size <= last {
		return 0, 0, 0, fmt.Errorf("the server sent the Content-Range %q", s)
	}
	return first, last, size, nil
}

// getBody delivers as many bytes as were promised, or an error.
type getBody struct {
	ctx   context.Context
	key   string
	body  io.ReadCloser
	left  int64
	exact bool  // body ends where left does
	err   error // what all later reads return
}

func (b *getBody) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	if b.left == 0 {
		b.err = b.end()
		return 0, b.err
	}
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.body.Read(p)
	b.left -= int64(n)
	switch {
	case err == nil && b.left == 0 && n > 0:
		// Learn now whether the content is what was stored: a reader that knows
		// the length never asks again.
		err = b.end()
	case err == io.EOF && b.left > 0:
		err = b.fail(ErrUnavailable, io.ErrUnexpectedEOF)
	case err != nil && err != io.EOF:
		err = b.explain(err)
	}
	if err == nil {
		return n, nil
	}
	b.err = err
	if errors.Is(err, ErrCorrupt) {
		return 0, err
	}
	if n > 0 {
		return n, nil
	}
	return 0, err
}

// end reads past the last byte, where the SDK checks the checksum.
func (b *getBody) end() error {
	if !b.exact {
		return io.EOF
	}
	switch n, err := io.ReadFull(b.body, make([]byte, 1)); {
	case n > 0:
		return b.fail(ErrCorrupt, errors.New("the body is longer than announced"))
	case err == io.EOF:
		return io.EOF
	default:
		return b.explain(err)
	}
}

// explain gives an error while reading its kind. What did not happen on the way
// is the SDK's finding that the checksum does not fit.
func (b *getBody) explain(err error) error {
	switch {
	case b.ctx.Err() != nil:
		return b.fail(ErrCanceled, context.Cause(b.ctx))
	case isA[*transportError](err):
		return b.fail(ErrUnavailable, root(err))
	}
	return b.fail(ErrCorrupt, err)
}

func (b *getBody) fail(kind, err error) error {
	return &Error{Op: OpGet, Key: b.key, Kind: kind, Err: err}
}

func (b *getBody) Close() error {
	if b.err == nil {
		b.err = &Error{Op: OpGet, Key: b.key, Kind: ErrCanceled, Err: errors.New("the body was closed")}
	}
	return b.body.Close()
}
