package transfer

import (
	_ "github.com/cgs3fs/cgs3fs/fs"
	_ "github.com/cgs3fs/cgs3fs/s3/s3test"

	_ "github.com/aws/aws-sdk-go-v2/service/s3"
)
