package s3test

import _ "github.com/cgs3fs/cgs3fs/s3"
