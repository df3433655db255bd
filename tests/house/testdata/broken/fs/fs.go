package fs

import (
	_ "github.com/cgs3fs/cgs3fs/s3/s3test"

	_ "github.com/aws/aws-sdk-go-v2/service/s3/types"
	_ "github.com/hanwen/go-fuse/v2/fs"
)
