package s3test

import "github.com/cgs3fs/cgs3fs/s3"

// extras is what a bucket has beside objects.
type extras struct {
	versioning s3.VersioningState
}
