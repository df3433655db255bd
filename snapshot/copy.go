package snapshot

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

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

// abortTimeout is for giving up an upload after the run was interrupted.
const abortTimeout = 10 * time.Second

// copier copies exact versions of objects from one bucket to another, or within
// one. It finds out by trying which way the buckets allow.
type copier struct {
	from, to s3.Bucket
	fromName string // for a copy into another bucket; empty within one
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
	return &copier{from: from, to: to, fromName: fromName, cfg: s.cfg, gate: s.gate, budget: s.budget}
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

func (c *copier) serverSide(ctx context.Context, v version, to place) (copied, error) {
	if v.size > c.cfg.CopyLimit {
		return c.inParts(ctx, v, to, c.cfg.PartSize, c.copyPart)
	}
	src := s3.Source{Bucket: c.fromName, Key: v.key, ETag: v.etag}
	o := s3.CopyOptions{StorageClass: v.class, IfMatch: to.ifMatch, IfNoneMatch: to.ifNoneMatch}
	var done copied
	request := func() (err error) {
		done.Info, err = c.to.Copy(ctx, src, to.key, o)
		return err
	}
	err := c.gate.do(ctx, request)
	if errors.Is(err, s3.ErrDenied) { // perhaps only of its tags
		o.DropTags, done.tagsLost = true, true
		if c.gate.do(ctx, request) == nil {
			return done, nil
		}
	}
	return done, err
}

// partMover brings one part of an object into an upload.
type partMover func(ctx context.Context, u s3.Upload, n int, v version, r s3.Range) error

func (c *copier) copyPart(ctx context.Context, u s3.Upload, n int, v version, r s3.Range) error {
	src := s3.Source{Bucket: c.fromName, Key: v.key, ETag: v.etag}
	return c.gate.do(ctx, func() error {
		_, err := u.CopyPart(ctx, n, src, r)
		return err
	})
}

// inParts makes a copy by a multipart upload, which keeps nothing of the object
// but its bytes; all else is read first and sent along.
func (c *copier) inParts(ctx context.Context, v version, to place, size int64, move partMover) (copied, error) {
	var info s3.Info
	err := c.gate.do(ctx, func() (err error) {
		info, err = c.from.Head(ctx, v.key)
		return err
	})
	if err != nil {
		return copied{}, err
	}
	if info.ETag != v.etag {
		return copied{}, &s3.Error{Op: s3.OpHead, Key: v.key, Kind: s3.ErrChanged}
	}
	tags, tagsLost, err := c.tags(ctx, info)
	if err != nil {
		return copied{}, err
	}
	u, err := c.to.NewUpload(ctx, to.key, s3.PutOptions{
		Attributes: info.Attributes, StorageClass: v.class, Tags: tags, IfMatch: to.ifMatch, IfNoneMatch: to.ifNoneMatch,
	})
	if err != nil {
		return copied{}, err
	}
	group, partCtx := errgroup.WithContext(ctx)
	group.SetLimit(partsAtOnce)
	for i, r := range parts(v.size, size) {
		group.Go(func() error { return move(partCtx, u, i+1, v, r) })
	}
	done := copied{tagsLost: tagsLost}
	if err = group.Wait(); err == nil {
		done.Info, err = u.Complete(ctx)
	}
	if err != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortTimeout)
		defer cancel()
		return copied{}, errors.Join(err, u.Abort(ctx))
	}
	return done, nil
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

// parts cuts an object into ranges of at least size bytes, as many as S3 allows.
func parts(object, size int64) []s3.Range {
	size = max(size, (object+s3.MaxParts-1)/s3.MaxParts)
	var ranges []s3.Range
	for off := int64(0); off < object; off += size {
		ranges = append(ranges, s3.Range{Offset: off, Length: min(size, object-off)})
	}
	return ranges
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
