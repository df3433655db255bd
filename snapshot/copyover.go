package snapshot

import (
	"context"
	"errors"

	"github.com/cgs3fs/cgs3fs/s3"
)

// copyOver copies an object of one snapshot to a place in another, or back to
// its own. A copy that an interrupted attempt made there is kept if its checksum
// or its MD5 proves it; anything else in the place is replaced, as it belongs to
// the snapshot and is not what the manifest is going to say.
func (s *Store) copyOver(ctx context.Context, c *copier, from version, to string, e Entry) (s3.Info, error) {
	done, err := c.copy(ctx, from, place{key: to, ifNoneMatch: "*"})
	if !errors.Is(err, s3.ErrExists) {
		return done.Info, err
	}
	there, err := s.dest.Head(ctx, to)
	if err != nil {
		return s3.Info{}, err
	}
	if e.provenBy(there) {
		return there, nil
	}
	done, err = c.copy(ctx, from, place{key: to, ifMatch: there.ETag})
	return done.Info, err
}

// provenBy says whether an object certainly has the content of the entry's copy.
func (e Entry) provenBy(there s3.Info) bool {
	if there.Size != e.Size || checksumsDiffer(e.Checksum, there.Checksum) {
		return false
	}
	if e.Checksum != "" && e.Checksum == there.Checksum {
		return true
	}
	if there.ETag == e.copyETag() || there.ETag == e.ETag {
		return true
	}
	return false
}
