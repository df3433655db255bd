package s3test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cgs3fs/cgs3fs/s3"
)

// MemConfig says what kind of server a Mem is. The zero value is S3 itself.
type MemConfig struct {
	Now         func() time.Time // nil is time.Now
	WholeSecond bool             // LastModified without fractions, as HTTP headers have it
	MinPartSize int64            // bytes; 0 is s3.MinPartSize, 1 is no limit
	MaxPage     int              // entries in one page; 0 is s3.MaxPage
	OpaqueETags bool             // ETags that are no MD5, as with SSE-KMS; also saves the time for the MD5
	Checksums   bool             // Info tells the CRC64NVME of the content
	NoCondition bool             // conditions on writes are ignored, as some servers do

	// Neighbours are the other buckets of the server, by the names that
	// s3.Source.Bucket has for them. Two may share one map, filled in later.
	Neighbours map[string]*Mem
}

// Mem is a bucket in memory, strongly consistent as S3 is. Get serves the bytes
// that Put stored without copying them, and copies on the server's side share
// them.
type Mem struct {
	cfg    MemConfig
	bodies atomic.Int64 // open ones

	mu      sync.RWMutex
	objects map[string][]*version // guarded by mu; by key, newest last, never empty
	keys    []string              // guarded by mu; of objects, sorted
	uploads map[string]*pending   // guarded by mu; by upload ID
	serial  uint64                // guarded by mu; numbers uploads, versions and opaque ETags
	extras  extras                // guarded by mu
}

// version is one version of an object. It does not change, but for its tags.
type version struct {
	info   s3.Info
	tags   map[string]string // guarded by Mem.mu
	data   segments
	marker bool // a delete marker
}

// NewMem returns an empty bucket.
func NewMem(cfg MemConfig) *Mem {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.MinPartSize == 0 {
		cfg.MinPartSize = s3.MinPartSize
	}
	if cfg.MaxPage == 0 {
		cfg.MaxPage = s3.MaxPage
	}
	return &Mem{cfg: cfg, objects: map[string][]*version{}, uploads: map[string]*pending{}}
}

// Clone returns another bucket with the same objects, on a clock of its own. There
// must be no pending uploads.
func (m *Mem) Clone(now func() time.Time) *Mem {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if len(m.uploads) > 0 {
		panic("s3test: a bucket with pending uploads is cloned")
	}
	clone := NewMem(m.cfg)
	clone.cfg.Now = now
	for key, versions := range m.objects {
		for _, v := range versions {
			own := *v
			own.tags = maps.Clone(v.tags)
			clone.objects[key] = append(clone.objects[key], &own)
		}
	}
	clone.keys, clone.serial, clone.extras = slices.Clone(m.keys), m.serial, m.extras
	return clone
}

// Keys returns the keys of all objects in byte order.
func (m *Mem) Keys() []string {
	m.mu.RLock()
	defer m.mu.RUnlock()
	var keys []string
	for _, key := range m.keys {
		if m.current(key) != nil {
			keys = append(keys, key)
		}
	}
	return keys
}

// Bytes returns a copy of an object's content, and whether there is one.
func (m *Mem) Bytes(key string) ([]byte, bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	v := m.current(key)
	if v == nil {
		return nil, false
	}
	return v.data.bytes(), true
}

// PutBytes stores an object behind everybody's back and returns its new state.
func (m *Mem) PutBytes(key string, data []byte) s3.Info {
	info, err := m.Put(context.Background(), key, strings.NewReader(string(data)), s3.PutOptions{})
	if err != nil {
		panic(err)
	}
	return info
}

// Uploads returns all pending uploads.
func (m *Mem) Uploads() []s3.PendingUpload {
	list, _ := m.ListUploads(context.Background(), "") // cannot fail
	return list
}

// OpenBodies returns how many bodies were got and not yet closed.
func (m *Mem) OpenBodies() int {
	return int(m.bodies.Load())
}

// current returns the version that a plain Get sees, or nil. Call it with mu held.
func (m *Mem) current(key string) *version {
	vs := m.objects[key]
	if len(vs) == 0 || vs[len(vs)-1].marker {
		return nil
	}
	return vs[len(vs)-1]
}

// find returns the version that key and id name, or an error.
func (m *Mem) find(op, key, id string) (*version, error) {
	if id == "" {
		if v := m.current(key); v != nil {
			return v, nil
		}
		return nil, refuse(op, key, s3.ErrNotFound, "NoSuchKey", 404)
	}
	for _, v := range m.objects[key] {
		if v.info.VersionID == id && !v.marker {
			return v, nil
		}
	}
	return nil, refuse(op, key, s3.ErrNotFound, "NoSuchVersion", 404)
}

// store makes v the current version of its key. Call it with mu held.
func (m *Mem) store(v *version) {
	m.serial++
	key := v.info.Key
	old := m.objects[key]
	if len(old) == 0 {
		i, _ := slices.BinarySearch(m.keys, key)
		m.keys = slices.Insert(m.keys, i, key)
	}
	if m.extras.versioning == s3.VersioningEnabled {
		v.info.VersionID = fmt.Sprintf("v%06d", m.serial)
	} else {
		v.info.VersionID = ""
		old = slices.DeleteFunc(old, func(v *version) bool { return v.info.VersionID == "" })
	}
	m.objects[key] = append(old, v)
}

// forget removes key with all its versions. Call it with mu held.
func (m *Mem) forget(key string) {
	delete(m.objects, key)
	if i, found := slices.BinarySearch(m.keys, key); found {
		m.keys = slices.Delete(m.keys, i, i+1)
	}
}

// now is the time that an object written now carries.
func (m *Mem) now() time.Time {
	t := m.cfg.Now().UTC()
	if m.cfg.WholeSecond {
		return t.Truncate(time.Second)
	}
	return t.Truncate(time.Millisecond)
}

// conditions checks If-Match and If-None-Match of a write to key. Call it with mu held.
func (m *Mem) conditions(op, key, ifMatch, ifNoneMatch string) error {
	if m.cfg.NoCondition {
		return nil
	}
	v := m.current(key)
	switch {
	case ifNoneMatch != "" && ifNoneMatch != "*":
		return refuse(op, key, s3.ErrUnsupported, "NotImplemented", 501)
	case ifNoneMatch == "*" && v != nil:
		return refuse(op, key, s3.ErrExists, "PreconditionFailed", 412)
	case ifMatch != "" && v == nil:
		return refuse(op, key, s3.ErrChanged, "NoSuchKey", 404)
	case ifMatch != "" && v.info.ETag != ifMatch:
		return refuse(op, key, s3.ErrChanged, "PreconditionFailed", 412)
	}
	return nil
}

// answer is what a read tells about v: a copy that the caller may change.
func (m *Mem) answer(v *version) s3.Info {
	info := v.info
	info.Metadata = maps.Clone(info.Metadata)
	info.Tags = len(v.tags)
	return info
}

// written is what the answer to a write tells about v. S3 does not say when that
// was.
func written(v *version) s3.Info {
	info := s3.Info{Object: v.info.Object, Checksum: v.info.Checksum, Parts: v.info.Parts}
	info.LastModified = time.Time{}
	return info
}

// check refuses what S3 refuses whatever the bucket holds.
func check(ctx context.Context, op, key string) error {
	switch {
	case ctx.Err() != nil:
		return &s3.Error{Op: op, Key: key, Kind: s3.ErrCanceled, Err: context.Cause(ctx)}
	case key == "":
		return refuse(op, key, s3.ErrInvalid, "InvalidRequest", 400)
	case len(key) > s3.MaxKeyLength:
		return refuse(op, key, s3.ErrInvalid, "KeyTooLongError", 400)
	}
	return nil
}

// checkOptions refuses attributes and tags beyond S3's limits, which are on the
// "Working with object metadata" and "object tagging" pages of its user guide.
func checkOptions(op, key string, a s3.Attributes, tags map[string]string) error {
	size := 0
	for k, v := range a.Metadata {
		size += len(k) + len(v)
	}
	if size > 2<<10 {
		return refuse(op, key, s3.ErrInvalid, "MetadataTooLarge", 400)
	}
	if len(tags) > 10 {
		return refuse(op, key, s3.ErrInvalid, "BadRequest", 400)
	}
	return nil
}

func refuse(op, key string, kind error, code string, status int) error {
	return &s3.Error{Op: op, Key: key, Kind: kind, Code: code, Status: status, RequestID: "mem"}
}
