package snapshot

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"

	"github.com/cgs3fs/cgs3fs/s3"
)

// CopyPath is the way that bytes take.
type CopyPath string

// The ways.
const (
	ServerSide CopyPath = "server-side"
	Streamed   CopyPath = "streamed" // through this machine, where one key may not use both buckets
)

// partsAtOnce of one object; many objects are on their way beside it.
const partsAtOnce = 8

// copier copies exact versions of objects from one bucket to another, or within
// one. It finds out by trying which way the buckets allow.
type copier struct {
	from, to s3.Bucket
	direct   s3.Bucket // to, for conditional writes; see Config.Direct
	uploads  s3.Bucket // to, for uploads in parts
	fromName string    // for a copy into another bucket; empty within one
	cfg      Config
	gate     *gate
	budget   *budget

	mu            sync.Mutex
	path          CopyPath // guarded by mu; empty until one has worked
	unconditional bool     // guarded by mu; this server has no conditions for the places of copies
}

func (s *Store) copier(from, to s3.Bucket, fromName string) *copier {
	if from == to {
		fromName = ""
	}
	return &copier{from: from, to: to, direct: to, uploads: to, fromName: fromName, cfg: s.cfg, gate: s.gate, budget: s.budget}
}

// version is what to copy, and as what class to store it.
type version struct {
	key, etag string
	size      int64
	class     string
}

// place is where to copy something, and on which condition on what is there.
type place struct {
	key                  string
	ifMatch, ifNoneMatch string
}

// copied is what came of it.
type copied struct {
	s3.Info
	tagsLost bool // the key may not read or write them
}

// copy makes one copy. Another version at the source is ErrChanged, a condition
// that fails ErrExists or ErrChanged.
func (c *copier) copy(ctx context.Context, v version, to place) (copied, error) {
	to = c.conditions(to)
	path := c.chosen()
	if path == Streamed {
		return c.stream(ctx, v, to)
	}
	done, err := c.serverSide(ctx, v, to)
	if errors.Is(err, s3.ErrUnsupported) && to.ifMatch+to.ifNoneMatch != "" {
		c.noConditions()
		to.ifMatch, to.ifNoneMatch = "", ""
		done, err = c.serverSide(ctx, v, to)
	}
	if err == nil {
		c.choose(ServerSide)
		return done, nil
	}
	if path == ServerSide || c.from == c.to || !cannotCopy(err) {
		return copied{}, err
	}
	streamed, streamErr := c.stream(ctx, v, to)
	if streamErr != nil {
		return copied{}, streamErr
	}
	c.choose(Streamed)
	return streamed, nil
}

// cannotCopy says whether the error may mean that the server does not copy
// between these two buckets, with this key.
func cannotCopy(err error) bool {
	for _, kind := range []error{s3.ErrDenied, s3.ErrNoBucket, s3.ErrUnsupported, s3.ErrInvalid, s3.ErrNotFound, s3.ErrCredentials} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}

func (c *copier) chosen() CopyPath {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.path
}

func (c *copier) choose(path CopyPath) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.path == "" {
		c.path = path
	}
}

func (c *copier) conditions(to place) place {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.unconditional {
		to.ifMatch, to.ifNoneMatch = "", ""
	}
	return to
}

func (c *copier) noConditions() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.unconditional = true
}

func (c *copier) serverSide(ctx context.Context, v version, to place) (done copied, err error) {
	cfg := s3.CopyConfig{
		Source: c.from, SourceName: c.fromName, Threshold: c.cfg.CopyLimit, PartSize: c.cfg.PartSize, Parallel: partsAtOnce,
		TagsLost: func(string) { done.tagsLost = true },
	}
	o := s3.CopyOptions{StorageClass: v.class, IfMatch: to.ifMatch, IfNoneMatch: to.ifNoneMatch}
	err = c.write(ctx, to, v.size <= c.cfg.CopyLimit, func(bucket s3.Bucket) (err error) {
		done.Info, err = s3.CopyObject(ctx, bucket, s3.Object{Key: v.key, Size: v.size, ETag: v.etag}, to.key, o, cfg)
		return err
	})
	return done, err
}

// writeTries is how often a conditional write is tried on the direct bucket.
const writeTries = 5

// write makes one request that writes. A conditional one goes to the direct
// bucket if it is a single request; when it was tried again and is refused, an
// earlier attempt may be why, which the caller has to find out.
func (c *copier) write(ctx context.Context, to place, single bool, request func(s3.Bucket) error) error {
	if !single {
		return c.gate.do(ctx, func() error { return request(c.uploads) })
	}
	if to.ifMatch+to.ifNoneMatch == "" {
		return c.gate.do(ctx, func() error { return request(c.to) })
	}
	backoff := gateBackoff
	for try := 1; ; try++ {
		err := c.gate.do(ctx, func() error { return request(c.direct) })
		switch {
		case errors.Is(err, s3.ErrCredentials): // which only the other bucket can renew
			return c.gate.do(ctx, func() error { return request(c.to) })
		case !errors.Is(err, s3.ErrUnavailable) || try == writeTries:
			return err
		}
		if err := c.gate.pause(ctx, backoff); err != nil {
			return err
		}
		backoff *= 2
	}
}

// tags reads the tags of an object that has any. A key that may not read them
// copies the object without.
func (c *copier) tags(ctx context.Context, info s3.Info) (tags map[string]string, lost bool, err error) {
	if info.Tags == 0 {
		return nil, false, nil
	}
	tagger, ok := s3.As[s3.Tags](c.from)
	if !ok {
		return nil, true, nil
	}
	err = c.gate.do(ctx, func() (err error) {
		tags, err = tagger.GetTags(ctx, info.Key, info.VersionID)
		return err
	})
	if errors.Is(err, s3.ErrDenied) || errors.Is(err, s3.ErrUnsupported) {
		return nil, true, nil
	}
	return maps.Clone(tags), false, err
}

// resultOf turns what a copy answered into what the entry records of it.
func (e Entry) resultOf(done s3.Info) Entry {
	e.CopyETag = ""
	if done.ETag != e.ETag {
		e.CopyETag = done.ETag
	}
	e.Checksum = done.Checksum
	return e
}

func (v version) String() string { return fmt.Sprintf("%q (%s)", v.key, v.etag) }
