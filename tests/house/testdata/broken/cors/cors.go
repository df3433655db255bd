package cors

import (
	_ "github.com/cgs3fs/cgs3fs/s3"

	_ "github.com/urfave/cli/v2"
)
