package util

import _ "github.com/cgs3fs/cgs3fs/cache"
