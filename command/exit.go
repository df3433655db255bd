package command

import (
	"errors"
	"fmt"

	"github.com/cgs3fs/cgs3fs/cache"
	"github.com/cgs3fs/cgs3fs/creds"
	"github.com/cgs3fs/cgs3fs/s3"
)

// Exit statuses, one table for all commands.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2
	exitPartly      = 3  // done in part: something was skipped, and said
	exitNotFound    = 4  // not found, or ambiguous
	exitUnavailable = 5  // the service can't be reached or is overloaded; try again
	exitDenied      = 6  // not logged in, or not permitted
	exitDiffers     = 7  // changed by somebody else; damage or differences found
	exitUnsaved     = 8  // unsaved data remains, and was said where
	exitRefused     = 9  // refused for safety
	exitLocked      = 11 // locked by another run
)

// exitError is an error that says with which status the program ends and what
// the user can do about it.
type exitError struct {
	status int
	hint   string // one line; may be empty
	err    error
}

// fail makes an exitError without a hint.
func fail(status int, format string, args ...any) *exitError {
	return &exitError{status: status, err: fmt.Errorf(format, args...)}
}

// try adds the hint.
func (e *exitError) try(format string, args ...any) *exitError {
	e.hint = fmt.Sprintf(format, args...)
	return e
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }
func (e *exitError) Hint() string  { return e.hint }

// hintOf is what err says the user can do; empty if it says nothing.
func hintOf(err error) string {
	var h interface{ Hint() string }
	if errors.As(err, &h) {
		return h.Hint()
	}
	return ""
}

// statusOf is the exit status of an error: what it says of itself, or what its
// kind means.
func statusOf(err error) int {
	var e *exitError
	if errors.As(err, &e) {
		return e.status
	}
	for _, row := range statuses {
		if errors.Is(err, row.kind) {
			return row.status
		}
	}
	return exitFailed
}

// statuses maps kinds of failure to the table above. The first match counts.
var statuses = []struct {
	kind   error
	status int
}{
	{creds.ErrUsage, exitUsage},
	{creds.ErrInvalid, exitUsage},
	{creds.ErrAmbiguous, exitNotFound},
	{creds.ErrNotFound, exitNotFound},
	{creds.ErrNotHere, exitNotFound},
	{creds.ErrLoggedOut, exitDenied},
	{creds.ErrDenied, exitDenied},
	{creds.ErrNoRefresh, exitDenied},
	{creds.ErrUnavailable, exitUnavailable},
	{cache.ErrDirInUse, exitLocked},
	{cache.ErrDirUnsafe, exitRefused},
	{s3.ErrNoBucket, exitNotFound},
	{s3.ErrNotFound, exitNotFound},
	{s3.ErrDenied, exitDenied},
	{s3.ErrCredentials, exitDenied},
	{s3.ErrChanged, exitDiffers},
	{s3.ErrThrottled, exitUnavailable},
	{s3.ErrUnavailable, exitUnavailable},
}
