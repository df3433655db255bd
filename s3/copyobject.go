package s3

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// CopyConfig says how [CopyObject] copies. The zero value copies within one
// bucket as S3's limits want it.
type CopyConfig struct {
	// Source is the bucket that the object is in, under the name SourceName;
	// nil is the bucket that is copied to. Both need the same server and a key
	// that may read the one and write the other.
	Source     Bucket
	SourceName string

	Threshold int64 // bytes; a larger object is copied in parts; 0 is MaxPartSize
	PartSize  int64 // bytes; 0 is 128 MiB, or more if the parts would be too many
	Parallel  int   // parts under way at once; 0 is 8

	// TagsLost is called when the key may not read or write tags, so that the
	// copy has none. May be nil.
	TagsLost func(key string)
}

// CopyObject copies one version of an object of any size on the server's side,
// with its attributes and tags. src is what a listing or a Head tells; another
// version than src.ETag is ErrChanged. Large objects are copied in parts, all
// of that version; then dst holds its old content until the whole copy is there.
//
// Some servers know the conditions of o for uploads but not for copies: within
// one bucket they get an upload of copied parts. Where that has none either, or
// the buckets are two, the error is ErrUnsupported, as it is of a Put.
func CopyObject(ctx context.Context, b Bucket, src Object, dst string, o CopyOptions, cfg CopyConfig) (Info, error) {
	c := copier{b: b, from: b, src: src, dst: dst, options: o, cfg: cfg}
	if cfg.Source != nil {
		c.from = cfg.Source
	}
	c.source = Source{Bucket: cfg.SourceName, Key: src.Key, VersionID: src.VersionID, ETag: src.ETag}
	run := c.whole
	if src.Size > min(cmp.Or(cfg.Threshold, MaxPartSize), MaxPartSize) {
		run = c.parts
	}
	info, err := run(ctx)
	if errors.Is(err, ErrDenied) && !o.DropTags {
		// Some keys may do everything but read or write tags.
		c.options.DropTags = true
		if info, err = run(ctx); err == nil && cfg.TagsLost != nil {
			cfg.TagsLost(dst)
		}
	}
	if err != nil {
		return Info{}, err
	}
	info.Size = src.Size
	return info, nil
}

// copier copies one object.
type copier struct {
	b, from Bucket
	src     Object
	source  Source
	dst     string
	options CopyOptions
	cfg     CopyConfig
}

func (c *copier) whole(ctx context.Context) (Info, error) {
	info, err := c.b.Copy(ctx, c.source, c.dst, c.options)
	conditional := c.options.IfMatch != "" || c.options.IfNoneMatch != ""
	switch {
	case errors.Is(err, ErrInvalid) && c.src.Size == 0 && strings.HasSuffix(c.dst, "/"):
		return c.empty(ctx)
	case !errors.Is(err, ErrUnsupported) || !conditional || c.cfg.Source != nil:
		return info, err
	case c.src.Size == 0:
		return c.empty(ctx)
	}
	return c.parts(ctx)
}

// empty writes an empty object anew, such as the marker of a directory: servers
// that keep objects in a file system (versitygw) refuse to copy one.
func (c *copier) empty(ctx context.Context) (Info, error) {
	o, err := c.putOptions(ctx)
	if err != nil {
		return Info{}, err
	}
	return c.b.Put(ctx, c.dst, strings.NewReader(""), o)
}

func (c *copier) parts(ctx context.Context) (_ Info, err error) {
	o, err := c.putOptions(ctx)
	if err != nil {
		return Info{}, err
	}
	u, err := c.b.NewUpload(ctx, c.dst, o)
	if err != nil {
		return Info{}, err
	}
	defer func() {
		if err != nil {
			c.abort(ctx, u)
		}
	}()
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(cmp.Or(c.cfg.Parallel, 8))
	for i, r := range copyRanges(c.src.Size, c.cfg.PartSize) {
		group.Go(func() error {
			_, err := u.CopyPart(groupCtx, i+1, c.source, r)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return Info{}, err
	}
	return u.Complete(ctx)
}

// abort gives the upload up, also when ctx has ended. If that fails it is left
// to those who clean up old uploads.
func (c *copier) abort(ctx context.Context, u Upload) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	_ = u.Abort(ctx)
}

// putOptions gathers what Copy would have taken over by itself.
func (c *copier) putOptions(ctx context.Context) (PutOptions, error) {
	o := PutOptions{StorageClass: c.options.StorageClass, IfMatch: c.options.IfMatch, IfNoneMatch: c.options.IfNoneMatch}
	if c.options.Attributes != nil {
		o.Attributes = *c.options.Attributes
	} else {
		info, err := c.head(ctx)
		if err != nil {
			return o, err
		}
		o.Attributes = info.Attributes
	}
	if tags, ok := As[Tags](c.from); ok && !c.options.DropTags {
		var err error
		o.Tags, err = tags.GetTags(ctx, c.src.Key, c.src.VersionID)
		if err != nil && !errors.Is(err, ErrUnsupported) {
			return o, err
		}
	}
	return o, nil
}

// head returns the attributes of the version that is copied.
func (c *copier) head(ctx context.Context) (Info, error) {
	if c.src.VersionID == "" {
		info, err := c.from.Head(ctx, c.src.Key)
		if err == nil && c.src.ETag != "" && info.ETag != c.src.ETag {
			err = &Error{Op: OpHead, Key: c.src.Key, Kind: ErrChanged}
		}
		return info, err
	}
	body, err := c.from.Get(ctx, c.src.Key, GetOptions{VersionID: c.src.VersionID, Range: Range{Length: 1}})
	if err != nil {
		return Info{}, err
	}
	return body.Info, body.Close()
}

// copyRanges cuts an object into parts of equal size but for the last.
func copyRanges(size, partSize int64) []Range {
	if partSize <= 0 {
		partSize = 128 << 20
	}
	partSize = min(max(partSize, (size+MaxParts-1)/MaxParts), MaxPartSize)
	var ranges []Range
	for off := int64(0); off < size; off += partSize {
		ranges = append(ranges, Range{Offset: off, Length: min(partSize, size-off)})
	}
	return ranges
}
