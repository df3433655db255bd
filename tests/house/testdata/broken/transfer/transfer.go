package transfer

import _ "github.com/hanwen/go-fuse/v2/fuse"
