package command

import (
	"bytes"
	"context"
	"errors"
	"syscall"
	"testing"
)

func TestReportSaysEverythingOnce(t *testing.T) {
	stopped, stop := context.WithCancelCause(t.Context())
	stop(interrupted{syscall.SIGINT})
	for _, row := range []struct {
		ctx    context.Context
		err    error
		status int
		text   string
	}{
		{t.Context(), nil, exitOK, ""},
		{stopped, nil, exitOK, ""},
		{t.Context(), errors.New("two\nlines\n"), exitFailed, "cgs3fs: two; lines\n"},
		{t.Context(), fail(exitRefused, "no").try("yes"), exitRefused, "cgs3fs: no\n  yes\n"},
		{stopped, context.Canceled, 130, "cgs3fs: interrupted\n"},
		// The process in the background got the signal too, and has said so.
		{stopped, &exitError{status: 130, err: errSaid}, 130, ""},
		{t.Context(), &exitError{status: 4, err: errSaid}, 4, ""},
	} {
		var out bytes.Buffer
		if status := report(&out, row.ctx, row.err); status != row.status || out.String() != row.text {
			t.Errorf("%v: status %d and %q, want %d and %q", row.err, status, out.String(), row.status, row.text)
		}
	}
}
