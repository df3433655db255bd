package fs

import (
	"context"
	"errors"
	"log/slog"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/cgs3fs/cgs3fs/s3"
)

// errnos says which errno a program sees for which cause. The first match
// counts; what is not in the table is EIO.
var errnos = []struct {
	kind  error
	errno syscall.Errno
}{
	{s3.ErrCanceled, syscall.EINTR},
	{context.Canceled, syscall.EINTR},
	{s3.ErrChanged, syscall.ESTALE}, // before ErrNotFound: the version that was edited may be gone without another
	{s3.ErrNotFound, syscall.ENOENT},
	{s3.ErrDenied, syscall.EACCES},
	{s3.ErrCredentials, syscall.EACCES},
	{s3.ErrArchived, syscall.EACCES}, // it must be restored first
	{s3.ErrExists, syscall.EEXIST},
	{s3.ErrTooLarge, syscall.EFBIG},
	{s3.ErrQuota, syscall.EDQUOT},
	{s3.ErrUnsupported, syscall.EOPNOTSUPP},
	{s3.ErrInvalid, syscall.EINVAL},
	{s3.ErrNoBucket, syscall.EIO},
	{s3.ErrThrottled, syscall.EIO}, // never EAGAIN: programs take that for a non-blocking file
	{s3.ErrUnavailable, syscall.EIO},
	{s3.ErrCorrupt, syscall.EIO},
}

// missingIsChanged makes of "no such object" what it means where a version is open:
// somebody else has changed it, by removing it. Other errors stay.
func missingIsChanged(op, key string, err error) error {
	if !errors.Is(err, s3.ErrNotFound) {
		return err
	}
	return &s3.Error{Op: op, Key: key, Kind: s3.ErrChanged, Err: err}
}

// plain reports whether the errno says all there is to say: this package
// refused something, or a program asked for what is not there.
func plain(err error, e syscall.Errno) bool {
	if _, refused := err.(syscall.Errno); refused { // nothing is wrapped around it
		return true
	}
	return e == syscall.ENOENT || e == syscall.EEXIST || e == syscall.EINTR
}

// toErrno finds the errno of an error. Where no kind of package s3 is in the
// chain, an errno there counts, such as ENOSPC of a staging file; a kind goes
// first, because below it may be the errno of a socket.
func toErrno(err error) syscall.Errno {
	for _, row := range errnos {
		if errors.Is(err, row.kind) {
			return row.errno
		}
	}
	var e syscall.Errno
	if errors.As(err, &e) && e != 0 {
		return e
	}
	return syscall.EIO
}

// status is the one place where an error becomes what the program sees, and
// where it is logged if the number says less than the error.
func (f *FS) status(op, what string, err error) fuse.Status {
	if err == nil {
		return fuse.OK
	}
	errno := toErrno(err)
	if !plain(err, errno) {
		f.fail(op, what, errno, err)
	}
	return fuse.Status(errno)
}

// fail logs an error that a program saw, and keeps it for Status. The same one
// over and over, as of a program that tries again and again, is logged now and
// then.
func (f *FS) fail(op, what string, errno syscall.Errno, err error) {
	if !f.failures.add(op, what, errno, err, f.cfg.Now()) {
		return
	}
	f.log.LogAttrs(context.Background(), slog.LevelError, op+" failed",
		slog.String("path", what), slog.String("errno", errno.Error()), slog.Any("err", err))
}
