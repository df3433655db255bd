//go:build !linux

package transfer

import (
	"errors"
	"os"
)

// createStage returns a new private file in dir.
func createStage(dir string) (*os.File, error) { return createNamedStage(dir) }

// reserve finds nothing out here: a full disk shows when bytes are written.
func reserve(*os.File, int64, int64) error { return nil }

// punch leaves the disk space to the file's end.
func punch(*os.File, int64, int64) {}

// linkStage cannot give a file a name again here.
func linkStage(*os.File, string) error { return errors.ErrUnsupported }
