package cache

import _ "github.com/cgs3fs/cgs3fs/s3"
