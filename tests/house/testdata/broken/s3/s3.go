package s3

import _ "github.com/cgs3fs/cgs3fs/creds"
