package transfer

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// stageFile is the part of a draft that memory does not hold. Not safe for
// concurrent use, but for reading.
type stageFile struct {
	*os.File
	frozen bool // a saved draft's data, which must stay as it is
}

// createNamedStage makes a file and takes its name away at once.
func createNamedStage(dir string) (*os.File, error) {
	f, err := os.CreateTemp(dir, "draft-*") // 0600
	if err != nil {
		return nil, fmt.Errorf("creating a staging file: %w", err)
	}
	if err := os.Remove(f.Name()); err != nil {
		return nil, errors.Join(fmt.Errorf("creating a staging file: %w", err), f.Close())
	}
	return f, nil
}

// full makes ErrFull of the errors that mean no space.
func full(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return ErrFull
	}
	return fmt.Errorf("writing a staging file: %w", err)
}
