package s3test

import (
	"cmp"
	"context"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/cgs3fs/cgs3fs/s3"
)

// pending is an upload as the server knows it.
type pending struct {
	s3.PendingUpload
	options s3.PutOptions
	parts   map[int]storedPart // guarded by Mem.mu
}

type storedPart struct {
	s3.Part
	data segments
}

// memUpload is an upload as one client knows it: parts whose acknowledgement
// got lost are in pending and not here.
type memUpload struct {
	m       *Mem
	key, id string
	options s3.PutOptions

	mu    sync.Mutex
	parts map[int]s3.Part // guarded by mu
}

// NewUpload implements [s3.Bucket].
func (m *Mem) NewUpload(ctx context.Context, key string, o s3.PutOptions) (s3.Upload, error) {
	if err := check(ctx, s3.OpNewUpload, key); err != nil {
		return nil, err
	}
	if err := checkOptions(s3.OpNewUpload, key, o.Attributes, o.Tags); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.serial++
	id := fmt.Sprintf("upload%06d", m.serial)
	m.uploads[id] = &pending{
		PendingUpload: s3.PendingUpload{Key: key, ID: id, Initiated: m.now()},
		options:       o,
		parts:         map[int]storedPart{},
	}
	return &memUpload{m: m, key: key, id: id, options: o, parts: map[int]s3.Part{}}, nil
}

// ResumeUpload implements [s3.Bucket].
func (m *Mem) ResumeUpload(ctx context.Context, key, id string, o s3.PutOptions) (s3.Upload, error) {
	if err := check(ctx, s3.OpListParts, key); err != nil {
		return nil, err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	p, err := m.pending(s3.OpListParts, key, id)
	if err != nil {
		return nil, err
	}
	u := &memUpload{m: m, key: key, id: id, options: o, parts: map[int]s3.Part{}}
	for n, part := range p.parts {
		u.parts[n] = part.Part
	}
	return u, nil
}

// ListUploads implements [s3.Bucket].
func (m *Mem) ListUploads(ctx context.Context, prefix string) ([]s3.PendingUpload, error) {
	if err := check(ctx, s3.OpListUploads, "-"); err != nil {
		return nil, err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	var list []s3.PendingUpload
	for _, p := range m.uploads {
		if strings.HasPrefix(p.Key, prefix) {
			list = append(list, p.PendingUpload)
		}
	}
	slices.SortFunc(list, func(a, b s3.PendingUpload) int {
		return cmp.Or(strings.Compare(a.Key, b.Key), a.Initiated.Compare(b.Initiated), strings.Compare(a.ID, b.ID))
	})
	return list, nil
}

// pending returns the upload id of key. Call it with mu held.
func (m *Mem) pending(op, key, id string) (*pending, error) {
	if p := m.uploads[id]; p != nil && p.Key == key {
		return p, nil
	}
	return nil, refuse(op, key, s3.ErrNoUpload, "NoSuchUpload", 404)
}

func (u *memUpload) Key() string { return u.key }
func (u *memUpload) ID() string  { return u.id }

func (u *memUpload) Part(ctx context.Context, n int, body io.ReadSeeker) (s3.Part, error) {
	if err := check(ctx, s3.OpPart, u.key); err != nil {
		return s3.Part{}, err
	}
	data, err := readAll(s3.OpPart, u.key, body)
	if err != nil {
		return s3.Part{}, err
	}
	return u.storePart(s3.OpPart, n, data)
}

func (u *memUpload) CopyPart(ctx context.Context, n int, src s3.Source, r s3.Range) (s3.Part, error) {
	if err := check(ctx, s3.OpCopyPart, u.key); err != nil {
		return s3.Part{}, err
	}
	v, err := u.m.source(s3.OpCopyPart, src)
	if err != nil {
		return s3.Part{}, err
	}
	whole, err := resolve(s3.OpCopyPart, u.key, r, v.info.Size)
	if err != nil {
		return s3.Part{}, err
	}
	if r.Length > whole.Length { // S3 does not cut the range of a copy short, as it does for a Get
		return s3.Part{}, refuse(s3.OpCopyPart, u.key, s3.ErrRange, "InvalidRange", 416)
	}
	return u.storePart(s3.OpCopyPart, n, v.data.slice(whole.Offset, whole.Length))
}

func (u *memUpload) storePart(op string, n int, data segments) (s3.Part, error) {
	if n < 1 || n > s3.MaxParts {
		return s3.Part{}, refuse(op, u.key, s3.ErrInvalid, "InvalidArgument", 400)
	}
	part := s3.Part{Number: n, Size: data.size(), ETag: u.m.etag(data), Checksum: u.m.checksum(data)}
	u.m.mu.Lock()
	p, err := u.m.pending(op, u.key, u.id)
	if err == nil {
		p.parts[n] = storedPart{part, data}
	}
	u.m.mu.Unlock()
	if err != nil {
		return s3.Part{}, err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.parts[n] = part
	return part, nil
}

func (u *memUpload) Parts() []s3.Part {
	u.mu.Lock()
	defer u.mu.Unlock()
	var list []s3.Part
	for _, part := range u.parts {
		list = append(list, part)
	}
	slices.SortFunc(list, func(a, b s3.Part) int { return a.Number - b.Number })
	return list
}

func (u *memUpload) Complete(ctx context.Context) (s3.Info, error) {
	if err := check(ctx, s3.OpCompleteUpload, u.key); err != nil {
		return s3.Info{}, err
	}
	parts := u.Parts()
	data, attributes, err := u.assemble(parts)
	if err != nil {
		return s3.Info{}, err
	}
	v := u.m.newVersion(u.key, data, attributes.Attributes, attributes.StorageClass, attributes.Tags)
	v.info.ETag = u.m.multipartETag(parts)
	v.info.Parts = len(parts)

	u.m.mu.Lock()
	defer u.m.mu.Unlock()
	if _, err := u.m.pending(s3.OpCompleteUpload, u.key, u.id); err != nil {
		return s3.Info{}, err
	}
	if err := u.m.conditions(s3.OpCompleteUpload, u.key, u.options.IfMatch, u.options.IfNoneMatch); err != nil {
		return s3.Info{}, err
	}
	delete(u.m.uploads, u.id)
	u.m.store(v)
	return written(v), nil
}

// assemble puts the parts together that the client names.
func (u *memUpload) assemble(parts []s3.Part) (segments, s3.PutOptions, error) {
	u.m.mu.RLock()
	defer u.m.mu.RUnlock()
	p, err := u.m.pending(s3.OpCompleteUpload, u.key, u.id)
	if err != nil {
		return nil, s3.PutOptions{}, err
	}
	if len(parts) == 0 {
		return nil, s3.PutOptions{}, refuse(s3.OpCompleteUpload, u.key, s3.ErrInvalid, "MalformedXML", 400)
	}
	var data segments
	for i, part := range parts {
		stored, ok := p.parts[part.Number]
		if !ok || stored.ETag != part.ETag {
			return nil, s3.PutOptions{}, refuse(s3.OpCompleteUpload, u.key, s3.ErrInvalid, "InvalidPart", 400)
		}
		if i < len(parts)-1 && stored.Size < u.m.cfg.MinPartSize {
			return nil, s3.PutOptions{}, refuse(s3.OpCompleteUpload, u.key, s3.ErrInvalid, "EntityTooSmall", 400)
		}
		data = append(data, stored.data...)
	}
	if data.size() > s3.MaxObject {
		return nil, s3.PutOptions{}, refuse(s3.OpCompleteUpload, u.key, s3.ErrTooLarge, "EntityTooLarge", 400)
	}
	return data, p.options, nil
}

// multipartETag is the MD5 of the parts' MD5s and their number.
func (m *Mem) multipartETag(parts []s3.Part) string {
	suffix := fmt.Sprintf("-%d", len(parts))
	if m.cfg.OpaqueETags {
		return m.opaqueETag(suffix)
	}
	h := md5.New()
	for _, part := range parts {
		sum, err := hex.DecodeString(strings.Trim(part.ETag, `"`))
		if err != nil {
			panic(fmt.Sprintf("part %d has the ETag %s", part.Number, part.ETag)) // we made it
		}
		h.Write(sum)
	}
	return `"` + hex.EncodeToString(h.Sum(nil)) + suffix + `"`
}

func (u *memUpload) Abort(ctx context.Context) error {
	if err := check(ctx, s3.OpAbortUpload, u.key); err != nil {
		return err
	}
	u.m.mu.Lock()
	defer u.m.mu.Unlock()
	delete(u.m.uploads, u.id)
	return nil
}
