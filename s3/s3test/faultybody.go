package s3test

import (
	"bytes"
	"fmt"
	"io"

	"github.com/cgs3fs/cgs3fs/s3"
)

// spoilReply returns the body that a Get delivers under the fault.
func (f Fault) spoilReply(key string, body *s3.Body) io.ReadCloser {
	at := f.After
	if at == half {
		at = body.Range.Length / 2
	}
	switch f.Do {
	case Cut:
		return &cutBody{ReadCloser: body.ReadCloser, left: at, err: f.error(s3.OpGet, key)}
	case Truncate:
		return &cutBody{ReadCloser: body.ReadCloser, left: at, err: io.EOF}
	case Flip:
		return &flipBody{ReadCloser: body.ReadCloser, at: at}
	}
	return body.ReadCloser
}

// cutBody delivers some bytes and then an error.
type cutBody struct {
	io.ReadCloser
	left int64
	err  error
}

func (b *cutBody) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, b.err
	}
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}

// flipBody inverts one bit.
type flipBody struct {
	io.ReadCloser
	at  int64
	pos int64
}

func (b *flipBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if i := b.at - b.pos; i >= 0 && i < int64(n) {
		p[i] ^= 1
	}
	b.pos += int64(n)
	return n, err
}

// spoilRequest returns the body that a Put or Part stores under the fault.
func (f Fault) spoilRequest(op, key string, body io.ReadSeeker) (io.ReadSeeker, error) {
	if f.Do != Cut && f.Do != Truncate && f.Do != Flip {
		return body, nil
	}
	data, err := io.ReadAll(body)
	if err != nil {
		return nil, &s3.Error{Op: op, Key: key, Kind: s3.ErrUnavailable, Err: fmt.Errorf("reading the body: %w", err)}
	}
	switch {
	case f.Do == Cut:
		return nil, f.error(op, key)
	case f.Do == Truncate:
		data = data[:min(int64(len(data)), f.After)]
	case f.After < int64(len(data)):
		data[f.After] ^= 1
	}
	return bytes.NewReader(data), nil
}
