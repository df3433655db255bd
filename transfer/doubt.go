package transfer

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
	"strings"

	"github.com/cgs3fs/cgs3fs/s3"
)

// A request that got no answer may have been carried out. The bucket's Retry
// finds that out while it goes on trying; what is here is for the Commit that
// comes later, after it gave up. Without it the draft would take its own
// content for somebody else's.

// doubt is a version that may be in the bucket without our knowing.
type doubt struct {
	key    string
	etag   string   // as S3 makes them; another server's ETags never match, and nothing is assumed
	stream *outflow // that was to become it, if any
}

// maxDoubts is how many attempts are remembered, the last ones.
const maxDoubts = 16

// doubtful remembers what err leaves open.
func (d *Draft) doubtful(err error, key string, s *outflow, etag func() string) {
	if !errors.Is(err, s3.ErrUnavailable) && !errors.Is(err, s3.ErrCanceled) {
		return
	}
	x := doubt{key: key, etag: etag(), stream: s}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.doubts = append(d.doubts[max(0, len(d.doubts)-maxDoubts+1):], x)
}

// doubted asks the bucket whether one of the versions in doubt is there, of
// those that s was to become, if it is not nil.
func (d *Draft) doubted(ctx context.Context, key string, s *outflow) (*s3.Object, error) {
	d.mu.Lock()
	doubts := slices.DeleteFunc(slices.Clone(d.doubts), func(x doubt) bool {
		return x.key != key || x.etag == "" || s != nil && x.stream != s
	})
	d.mu.Unlock()
	if len(doubts) == 0 {
		return nil, nil
	}
	info, err := d.e.bucket.Head(ctx, key)
	if errors.Is(err, s3.ErrNotFound) {
		return nil, nil
	}
	if err != nil || !slices.ContainsFunc(doubts, func(x doubt) bool { return x.etag == info.ETag }) {
		return nil, err
	}
	info.Key = key
	return &info.Object, nil
}

// maybeComplete tells whether the upload under way may have become the object
// without our knowing. d.mu must be held.
func (d *Draft) maybeComplete() bool {
	return d.stream != nil && slices.ContainsFunc(d.doubts, func(x doubt) bool { return x.stream == d.stream })
}

// dispel looks whether what refused a request with refusal is what an earlier
// commit made, and returns nil if so: it is the draft's own then, and what the
// base was. Otherwise it returns refusal, or why it could not find out.
func (d *Draft) dispel(ctx context.Context, key string, refusal error) error {
	if !errors.Is(refusal, s3.ErrChanged) && !errors.Is(refusal, s3.ErrExists) {
		return refusal
	}
	ours, err := d.doubted(ctx, key, nil)
	if err != nil {
		return err
	}
	if ours == nil {
		return refusal
	}
	d.mu.Lock()
	d.mine, d.doubts = ours, nil
	if d.base != nil {
		// Its bytes that were not changed are the same as before.
		d.base = ours
	}
	old := d.takeReader()
	d.mu.Unlock()
	closeReader(old)
	return nil
}

// dispelNow is dispel for a read of the base.
func (d *Draft) dispelNow(ctx context.Context, refusal error) error {
	if !errors.Is(refusal, s3.ErrChanged) {
		return refusal
	}
	if err := d.lock(ctx); err != nil {
		return err
	}
	defer d.unlock()
	d.mu.Lock()
	key := ""
	if d.base != nil {
		key = d.base.Key
	}
	d.mu.Unlock()
	return d.dispel(ctx, key, refusal)
}

// landed looks whether an upload whose Complete got no answer has become the
// object after all. If so that is the base: it has what has left, and all that
// was changed since is here.
func (d *Draft) landed(ctx context.Context, s *outflow) (bool, error) {
	ours, err := d.doubted(ctx, s.key, s)
	if err != nil || ours == nil {
		return false, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stream, d.doubts = nil, nil
	d.base, d.mine, d.baseEnd = ours, ours, ours.Size // nothing was cut off since: see makeWayToCut
	return true, nil
}

// bodyETag is the ETag of an object made by one Put.
func bodyETag(b *body) string {
	h := md5.New()
	b.pos = 0
	if _, err := io.Copy(h, b); err != nil {
		return ""
	}
	return quote(h)
}

// uploadETag is the ETag of an object made of parts; "" if theirs do not tell.
func uploadETag(parts []s3.Part) string {
	h := md5.New()
	for _, p := range parts {
		sum, err := hex.DecodeString(strings.Trim(p.ETag, `"`))
		if err != nil || len(sum) != md5.Size {
			return ""
		}
		h.Write(sum)
	}
	return strings.TrimSuffix(quote(h), `"`) + fmt.Sprintf(`-%d"`, len(parts))
}

func quote(h hash.Hash) string { return `"` + hex.EncodeToString(h.Sum(nil)) + `"` }
