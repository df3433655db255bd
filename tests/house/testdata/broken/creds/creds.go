package creds

import (
	_ "github.com/hashicorp/golang-lru/v2"

	_ "github.com/cgs3fs/cgs3fs/creds/capi"
)
