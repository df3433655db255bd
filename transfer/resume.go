package transfer

import (
	"crypto/md5"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/cgs3fs/cgs3fs/s3"
)

// LostError is that parts of a saved content are gone: they were in an upload
// only. It is an s3.ErrNoUpload.
type LostError struct{ Bytes, Size int64 }

func (e *LostError) Error() string {
	return fmt.Sprintf("%d of its %d bytes were only in an upload that the bucket does not have any more", e.Bytes, e.Size)
}

func (e *LostError) Unwrap() error { return s3.ErrNoUpload }

// Landed is the object that the upload of a saved draft has become, completed
// by a request whose answer was lost. Whole tells that it is all of the content:
// nothing was written after that.
type Landed struct {
	Object  s3.Object
	Options s3.PutOptions // that the upload began with
	Whole   bool
}

// Landed returns what the upload of a restored draft had become, or nil. It is
// the draft's base then: a Commit moves only what was written since.
func (d *Draft) Landed() *Landed { return d.landing }

// uploadGone is resume for an upload that the bucket does not know. d is not
// shared yet.
func (d *Draft) uploadGone(u *sidecarUpload, away ranges) error {
	info, err := d.e.bucket.Head(d.ctx, string(u.Key))
	switch etag := uploadETag(u.Parts); {
	case err == nil && etag != "" && etag == info.ETag && d.base == nil && info.Size <= d.size:
		info.Key = string(u.Key)
		d.base, d.baseEnd = &info.Object, info.Size
		d.landing = &Landed{Object: info.Object, Options: u.Options, Whole: d.sent(u.Parts, info.Size)}
	case err != nil && !errors.Is(err, s3.ErrNotFound):
		return err
	case len(away) > 0:
		return &LostError{Bytes: away.size(), Size: d.size}
	}
	return nil
}

// sent tells whether an object of that size, made of parts, is all of the
// content. What is here are whole parts if nothing was written since, and the
// ETag of a part tells what is in it.
func (d *Draft) sent(parts []s3.Part, size int64) bool {
	if d.size != size {
		return false
	}
	here := union(d.local.mem, d.local.disk)
	for _, p := range parts {
		at := d.grid.span(p.Number)
		at.end = min(at.end, size)
		if !here.touches(at.off, at.end) {
			continue
		}
		h := md5.New()
		if _, err := io.Copy(h, io.NewSectionReader(d.local.file, at.off, at.len())); err != nil ||
			!here.covers(at.off, at.end) || quote(h) != p.ETag {
			return false
		}
	}
	return true
}

// Rest writes what is on this machine of the content to f, at its place, for
// when the rest is lost. The bytes between are zeros.
func (s *Saved) Rest(f *os.File) error {
	data, err := os.Open(s.DataPath)
	if err != nil {
		return err
	}
	defer data.Close()
	for _, x := range s.extents {
		n, err := io.Copy(io.NewOffsetWriter(f, x.off), io.NewSectionReader(data, x.off, x.len()))
		if err == nil && n < x.len() {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return fmt.Errorf("reading %s: %w", s.DataPath, err)
		}
	}
	return f.Truncate(s.Size)
}
