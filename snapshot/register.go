package snapshot

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/cgs3fs/cgs3fs/s3"
)

// control reads and writes the small files beside the snapshots. An ETag names
// the state of a file for the next conditional write.
type control struct {
	bucket s3.Bucket
}

// maxControl is far more than any control file has: a manifest of ten million
// objects is 2 MB.
const maxControl = 256 << 20

func (c control) read(ctx context.Context, key string) (data []byte, etag string, err error) {
	body, err := c.bucket.Get(ctx, key, s3.GetOptions{})
	if err != nil {
		return nil, "", err
	}
	defer body.Close()
	data, err = io.ReadAll(io.LimitReader(body, maxControl))
	return data, body.Info.ETag, err
}

func (c control) readJSON(ctx context.Context, key string, v any) (etag string, err error) {
	data, etag, err := c.read(ctx, key)
	if err != nil {
		return "", err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return "", fmt.Errorf("%w: %s: %w", ErrDamaged, key, err)
	}
	return etag, nil
}

// create writes a file that must not be there. If it is, with this very content,
// an earlier attempt of ours got through and only its answer was lost.
func (c control) create(ctx context.Context, key string, data []byte, contentType string) (etag string, err error) {
	o := s3.PutOptions{IfNoneMatch: "*", Attributes: s3.Attributes{ContentType: contentType}}
	info, err := c.bucket.Put(ctx, key, bytes.NewReader(data), o)
	return c.settle(ctx, key, data, info.ETag, err)
}

// replace writes a file that must be in the state that etag names.
func (c control) replace(ctx context.Context, key string, data []byte, etag string) (string, error) {
	o := s3.PutOptions{IfMatch: etag, Attributes: s3.Attributes{ContentType: jsonType}}
	info, err := c.bucket.Put(ctx, key, bytes.NewReader(data), o)
	return c.settle(ctx, key, data, info.ETag, err)
}

// settle turns a lost race into success where the winner was ourselves.
func (c control) settle(ctx context.Context, key string, data []byte, etag string, err error) (string, error) {
	if !errors.Is(err, s3.ErrExists) && !errors.Is(err, s3.ErrChanged) {
		return etag, err
	}
	there, thereETag, readErr := c.read(ctx, key)
	if readErr == nil && bytes.Equal(there, data) {
		return thereETag, nil
	}
	return "", err
}

const (
	jsonType = "application/json"
	gzipType = "application/gzip"
)

func encodeJSON(v any) ([]byte, error) {
	data, err := json.MarshalIndent(v, "", " ")
	return append(data, '\n'), err
}

// list reads all of a listing below prefix that is short by its nature.
func (c control) list(ctx context.Context, prefix, delimiter string) (objects []s3.Object, prefixes []string, err error) {
	in := s3.ListInput{Prefix: prefix, Delimiter: delimiter}
	for {
		page, err := c.bucket.ListPage(ctx, in)
		if err != nil {
			return nil, nil, err
		}
		objects = append(objects, page.Objects...)
		prefixes = append(prefixes, page.Prefixes...)
		if page.Next == "" {
			return objects, prefixes, nil
		}
		in.Token = page.Next
	}
}

// removeAll deletes everything below prefix.
func (c control) removeAll(ctx context.Context, prefix string) error {
	objects, _, err := c.list(ctx, prefix, "")
	if err != nil || len(objects) == 0 {
		return err
	}
	targets := make([]s3.Target, len(objects))
	for i, o := range objects {
		targets[i].Key = o.Key
	}
	return c.bucket.Delete(ctx, targets...)
}

func sum256(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// abortUploadsOf gives up the pending uploads, which are part copies that did not
// end, to all places that a snapshot has.
func (s *Store) abortUploadsOf(ctx context.Context, id ID) error {
	for _, prefix := range []string{s.at.objects(id), s.at.dir(id)} {
		if err := s.abortUploads(ctx, prefix); err != nil {
			return err
		}
	}
	return nil
}

// abortUploads gives up all pending uploads below prefix, as far as this key and
// this server let it: one that stays costs its parts' storage, and nothing else.
func (s *Store) abortUploads(ctx context.Context, prefix string) error {
	uploads, err := s.dest.ListUploads(ctx, prefix)
	if err != nil {
		s.cfg.Log.Warn("pending uploads are not known", "prefix", prefix, "err", err)
		return ctx.Err()
	}
	for _, pending := range uploads {
		u, err := s.dest.ResumeUpload(ctx, pending.Key, pending.ID, s3.PutOptions{})
		if errors.Is(err, s3.ErrNoUpload) {
			continue
		}
		if err != nil {
			return err
		}
		if err := u.Abort(ctx); err != nil {
			return err
		}
	}
	return nil
}
