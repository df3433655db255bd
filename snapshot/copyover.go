package snapshot

import (
	"context"
	"errors"

	"github.com/cgs3fs/cgs3fs/s3"
)

// copyOver copies an object of one snapshot to a place in another. A copy that an
// interrupted attempt made there is kept if its checksum or its ETag proves it;
// anything else in the place is replaced, as the place belongs to the snapshot
// and holds what its manifest does not speak of.
func (s *Store) copyOver(ctx context.Context, c *copier, from version, to string, e Entry) (s3.Info, error) {
	there, err := s.head(ctx, to)
	if err != nil || e.provenBy(there) {
		return there, err
	}
	done, err := c.copy(ctx, from, place{key: to})
	return done.Info, err
}

// provenBy says whether an object certainly has the content of the entry's copy.
func (e Entry) provenBy(there s3.Info) bool {
	if there.ETag == "" || there.Size != e.Size || checksumsDiffer(e.Checksum, there.Checksum) {
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

// head looks at an object of the destination; one that is not there is the zero
// Info, which proves nothing.
func (s *Store) head(ctx context.Context, key string) (info s3.Info, err error) {
	err = s.gate.do(ctx, func() (err error) {
		info, err = s.dest.Head(ctx, key)
		return err
	})
	if errors.Is(err, s3.ErrNotFound) {
		return s3.Info{}, nil
	}
	return info, err
}
