// Command cgs3fs presents the bucket of a Cloud Foundry S3 service as a
// directory, manages who may use it from a browser, and keeps dated, verified
// copies of it.
package main

import (
	"os"

	"github.com/cgs3fs/cgs3fs/command"
)

func main() { os.Exit(command.Run(os.Args)) }
