package s3test

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/crc64"
	"io"
	"sync/atomic"

	"github.com/cgs3fs/cgs3fs/s3"
)

// segments is content in pieces that are shared and never changed: one for a
// Put, one or more for each part of a multipart upload.
type segments [][]byte

func (s segments) size() int64 {
	var n int64
	for _, b := range s {
		n += int64(len(b))
	}
	return n
}

func (s segments) bytes() []byte { return bytes.Join(s, nil) }

// slice returns the n bytes from off on, sharing them.
func (s segments) slice(off, n int64) segments {
	var out segments
	for _, b := range s {
		if off >= int64(len(b)) {
			off -= int64(len(b))
			continue
		}
		b = b[off:min(int64(len(b)), off+n)]
		off = 0
		if n -= int64(len(b)); len(b) > 0 {
			out = append(out, b)
		}
		if n == 0 {
			break
		}
	}
	return out
}

func (s segments) md5() []byte {
	h := md5.New()
	for _, b := range s {
		h.Write(b)
	}
	return h.Sum(nil)
}

// crc64nvme is the checksum that S3 stores for every object: the polynomial of
// the NVM Express specification, bits reversed as hash/crc64 wants it.
func (s segments) crc64nvme() string {
	table := crc64.MakeTable(0x9a6c9329ac4bc9b5)
	var sum uint64
	for _, b := range s {
		sum = crc64.Update(sum, table, b)
	}
	return "crc64nvme:" + base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint64(nil, sum))
}

// etag names content written in one piece.
func (m *Mem) etag(s segments) string {
	if m.cfg.OpaqueETags {
		return m.opaqueETag("")
	}
	return `"` + hex.EncodeToString(s.md5()) + `"`
}

// opaqueETag is unique in this bucket and says nothing about the content.
func (m *Mem) opaqueETag(suffix string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.serial++
	return fmt.Sprintf(`"0badc0de%024x%s"`, m.serial, suffix)
}

func (m *Mem) checksum(s segments) string {
	if !m.cfg.Checksums {
		return ""
	}
	return s.crc64nvme()
}

// readAll reads a request's body from where it stands.
func readAll(op, key string, body io.ReadSeeker) (segments, error) {
	fail := func(err error) error {
		return &s3.Error{Op: op, Key: key, Kind: s3.ErrUnavailable, Err: fmt.Errorf("reading the body: %w", err)}
	}
	start, err := body.Seek(0, io.SeekCurrent)
	if err != nil {
		return nil, fail(err)
	}
	end, err := body.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, fail(err)
	}
	if _, err := body.Seek(start, io.SeekStart); err != nil {
		return nil, fail(err)
	}
	if end-start > s3.MaxPartSize {
		return nil, refuse(op, key, s3.ErrTooLarge, "EntityTooLarge", 400)
	}
	if end == start {
		return nil, nil
	}
	data := make([]byte, end-start)
	if _, err := io.ReadFull(body, data); err != nil {
		return nil, fail(err)
	}
	return segments{data}, nil
}

// memBody reads segments until it is closed or its context ends.
type memBody struct {
	ctx    context.Context
	m      *Mem
	rest   segments
	closed atomic.Bool
}

func (b *memBody) Read(p []byte) (int, error) {
	if b.closed.Load() {
		return 0, errClosed
	}
	if b.ctx.Err() != nil {
		return 0, &s3.Error{Op: s3.OpGet, Kind: s3.ErrCanceled, Err: context.Cause(b.ctx)}
	}
	n := 0
	for n < len(p) && len(b.rest) > 0 {
		c := copy(p[n:], b.rest[0])
		n += c
		if b.rest[0] = b.rest[0][c:]; len(b.rest[0]) == 0 {
			b.rest = b.rest[1:]
		}
	}
	if n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	return n, nil
}

func (b *memBody) Close() error {
	if !b.closed.Swap(true) {
		b.m.bodies.Add(-1)
	}
	return nil
}

var errClosed = fmt.Errorf("reading a closed body: %w", io.ErrClosedPipe)
