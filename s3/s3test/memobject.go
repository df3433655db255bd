package s3test

import (
	"context"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/cgs3fs/cgs3fs/s3"
)

// Head implements [s3.Bucket].
func (m *Mem) Head(ctx context.Context, key string) (s3.Info, error) {
	if err := check(ctx, s3.OpHead, key); err != nil {
		return s3.Info{}, err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	v, err := m.find(s3.OpHead, key, "")
	if err != nil {
		return s3.Info{}, err
	}
	return m.answer(v), nil
}

// Get implements [s3.Bucket].
func (m *Mem) Get(ctx context.Context, key string, o s3.GetOptions) (*s3.Body, error) {
	if err := check(ctx, s3.OpGet, key); err != nil {
		return nil, err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	v, err := m.find(s3.OpGet, key, o.VersionID)
	if err != nil {
		return nil, err
	}
	switch {
	case o.IfMatch != "" && v.info.ETag != o.IfMatch:
		return nil, refuse(s3.OpGet, key, s3.ErrChanged, "PreconditionFailed", 412)
	case o.IfNoneMatch != "" && v.info.ETag == o.IfNoneMatch:
		return nil, refuse(s3.OpGet, key, s3.ErrNotModified, "NotModified", 304)
	}
	r, err := resolve(s3.OpGet, key, o.Range, v.info.Size)
	if err != nil {
		return nil, err
	}
	m.bodies.Add(1)
	body := &memBody{ctx: ctx, m: m, rest: v.data.slice(r.Offset, r.Length)}
	return &s3.Body{ReadCloser: body, Info: m.answer(v), Range: r}, nil
}

// resolve fills in the length of a range of an object of the given size.
func resolve(op, key string, r s3.Range, size int64) (s3.Range, error) {
	switch {
	case r == s3.Range{}:
		return s3.Range{Length: size}, nil
	case r.Offset < 0 || r.Length < 0:
		return r, refuse(op, key, s3.ErrInvalid, "InvalidArgument", 400)
	case r.Offset >= size:
		return r, refuse(op, key, s3.ErrRange, "InvalidRange", 416)
	case r.Length == 0 || r.Length > size-r.Offset:
		r.Length = size - r.Offset
	}
	return r, nil
}

// Put implements [s3.Bucket].
func (m *Mem) Put(ctx context.Context, key string, body io.ReadSeeker, o s3.PutOptions) (s3.Info, error) {
	if err := check(ctx, s3.OpPut, key); err != nil {
		return s3.Info{}, err
	}
	if err := checkOptions(s3.OpPut, key, o.Attributes, o.Tags); err != nil {
		return s3.Info{}, err
	}
	data, err := readAll(s3.OpPut, key, body)
	if err != nil {
		return s3.Info{}, err
	}
	v := m.newVersion(key, data, o.Attributes, o.StorageClass, o.Tags)
	v.info.ETag = m.etag(data)

	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.conditions(s3.OpPut, key, o.IfMatch, o.IfNoneMatch); err != nil {
		return s3.Info{}, err
	}
	m.store(v)
	return written(v), nil
}

// newVersion makes a version that lacks only its ETag.
func (m *Mem) newVersion(key string, data segments, a s3.Attributes, class string, tags map[string]string) *version {
	if class == "STANDARD" {
		class = ""
	}
	if a.ContentType == "" {
		a.ContentType = "binary/octet-stream" // what S3 gives objects that came without one
	}
	a.Metadata = maps.Clone(a.Metadata)
	v := &version{data: data, tags: maps.Clone(tags)}
	v.info.Object = s3.Object{Key: key, Size: data.size(), LastModified: m.now(), StorageClass: class}
	v.info.Attributes = a
	v.info.Checksum = m.checksum(data)
	return v
}

// Copy implements [s3.Bucket]. Other buckets are those in MemConfig.Neighbours.
func (m *Mem) Copy(ctx context.Context, src s3.Source, dst string, o s3.CopyOptions) (s3.Info, error) {
	if err := check(ctx, s3.OpCopy, dst); err != nil {
		return s3.Info{}, err
	}
	old, err := m.source(s3.OpCopy, src)
	if err != nil {
		return s3.Info{}, err
	}
	attributes, tags, class := old.info.Attributes, old.tags, o.StorageClass
	if o.Attributes != nil {
		attributes = *o.Attributes
	}
	if o.DropTags {
		tags = nil
	}
	switch {
	case old.info.Size > s3.MaxPartSize:
		return s3.Info{}, refuse(s3.OpCopy, dst, s3.ErrInvalid, "InvalidRequest", 400)
	case src.Key == dst && src.VersionID == "" && o.Attributes == nil && class == old.info.StorageClass:
		return s3.Info{}, refuse(s3.OpCopy, dst, s3.ErrInvalid, "InvalidRequest", 400)
	}
	if err := checkOptions(s3.OpCopy, dst, attributes, nil); err != nil {
		return s3.Info{}, err
	}
	v := m.newVersion(dst, old.data, attributes, class, tags)
	v.info.ETag = m.etag(old.data)

	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.conditions(s3.OpCopy, dst, o.IfMatch, o.IfNoneMatch); err != nil {
		return s3.Info{}, err
	}
	m.store(v)
	info := written(v)
	info.LastModified, info.Size = v.info.LastModified, -1 // what S3 says, and what not
	return info, nil
}

// source returns the version that a copy is to read.
func (m *Mem) source(op string, src s3.Source) (*version, error) {
	if src.Bucket != "" {
		m = m.cfg.Neighbours[src.Bucket]
	}
	if m == nil {
		return nil, refuse(op, src.Key, s3.ErrNoBucket, "NoSuchBucket", 404)
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	v, err := m.find(op, src.Key, src.VersionID)
	if err != nil {
		return nil, err
	}
	if src.ETag != "" && src.ETag != v.info.ETag {
		return nil, refuse(op, src.Key, s3.ErrChanged, "PreconditionFailed", 412)
	}
	return v, nil
}

// Delete implements [s3.Bucket].
func (m *Mem) Delete(ctx context.Context, targets ...s3.Target) error {
	failed := &s3.DeleteError{Failed: map[string]error{}}
	for _, t := range targets {
		if err := m.deleteOne(ctx, t); err != nil {
			failed.Failed[t.Key] = err
			if failed.First == nil {
				failed.First = err
			}
		}
	}
	if failed.First != nil {
		return failed
	}
	return nil
}

func (m *Mem) deleteOne(ctx context.Context, t s3.Target) error {
	if err := check(ctx, s3.OpDelete, t.Key); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	v := m.current(t.Key)
	switch {
	case t.VersionID != "":
		left := slices.DeleteFunc(m.objects[t.Key], func(v *version) bool { return v.info.VersionID == t.VersionID })
		if m.objects[t.Key] = left; len(left) == 0 {
			m.forget(t.Key)
		}
	case v != nil && t.ETag != "" && t.ETag != v.info.ETag && !m.cfg.NoCondition:
		return refuse(s3.OpDelete, t.Key, s3.ErrChanged, "PreconditionFailed", 412)
	case m.extras.versioning != "":
		marker := &version{marker: true}
		marker.info.Key, marker.info.LastModified = t.Key, m.now()
		m.store(marker)
	case v != nil:
		m.forget(t.Key)
	}
	return nil
}

// ListPage implements [s3.Bucket].
func (m *Mem) ListPage(ctx context.Context, in s3.ListInput) (s3.Page, error) {
	if err := check(ctx, s3.OpList, "-"); err != nil {
		return s3.Page{}, err
	}
	after, skip, err := position(in)
	if err != nil {
		return s3.Page{}, err
	}
	limit := m.cfg.MaxPage
	if in.Max > 0 && in.Max < limit {
		limit = in.Max
	}
	m.mu.RLock()
	defer m.mu.RUnlock()

	var page s3.Page
	last := ""
	i, _ := slices.BinarySearch(m.keys, max(in.Prefix, after))
	if skip {
		i = m.after(i, after)
	}
	for i < len(m.keys) && strings.HasPrefix(m.keys[i], in.Prefix) {
		key := m.keys[i]
		if m.current(key) == nil || key == after {
			i++
			continue
		}
		if len(page.Objects)+len(page.Prefixes) == limit {
			page.Next = last
			break
		}
		if common, ok := commonPrefix(key, in); ok {
			page.Prefixes = append(page.Prefixes, common)
			last = "prefix " + strconv.Quote(common)
			i = m.after(i, common)
			continue
		}
		page.Objects = append(page.Objects, m.current(key).info.Object)
		last = "key " + strconv.Quote(key)
		i++
	}
	return page, nil
}

// after returns the index of the first key from i on that lacks prefix.
func (m *Mem) after(i int, prefix string) int {
	rest := m.keys[i:]
	n, _ := slices.BinarySearchFunc(rest, prefix, func(key, prefix string) int {
		if key < prefix || strings.HasPrefix(key, prefix) {
			return -1
		}
		return 1
	})
	return i + n
}

// position returns the name after which a page begins, and whether that is a
// common prefix, all of which is to be skipped.
func position(in s3.ListInput) (after string, skip bool, err error) {
	if in.Token == "" {
		return in.StartAfter, false, nil
	}
	what, quoted, _ := strings.Cut(in.Token, " ")
	after, err = strconv.Unquote(quoted)
	if err != nil || what != "key" && what != "prefix" {
		return "", false, refuse(s3.OpList, "", s3.ErrInvalid, "InvalidArgument", 400)
	}
	return after, what == "prefix", nil
}

func commonPrefix(key string, in s3.ListInput) (string, bool) {
	if in.Delimiter == "" {
		return "", false
	}
	rest := key[len(in.Prefix):]
	i := strings.Index(rest, in.Delimiter)
	if i < 0 {
		return "", false
	}
	return key[:len(in.Prefix)+i+len(in.Delimiter)], true
}
