package s3

import (
	"context"
	"errors"
	"slices"
	"time"
)

// An upload that began although the answer was lost is one that nobody knows:
// it would be pending, and cost, for ever. It can be told by its key, its time
// and that it has no part.

// abortUnanswered gives up what earlier attempts to begin u, within some time
// before it, began without our hearing of it. Both times are the server's, so
// that no clock needs to be right, to the second, which is how exact some are.
func (r *retrier) abortUnanswered(ctx context.Context, u Upload, within time.Duration) error {
	pending, err := r.ListUploads(ctx, u.Key())
	if err != nil {
		return err
	}
	own := slices.IndexFunc(pending, func(p PendingUpload) bool { return p.ID == u.ID() })
	if own < 0 {
		return errors.New("the list of pending uploads lacks the one that began")
	}
	last := pending[own].Initiated
	pending = slices.DeleteFunc(pending, func(p PendingUpload) bool {
		return p.Key != u.Key() || p.ID == u.ID() || p.Initiated.After(last) || p.Initiated.Before(last.Add(-within-2*time.Second))
	})
	_, err = AbortEmpty(ctx, r, pending...)
	return err
}

// AbortEmpty gives up those of the uploads that have no part, and returns how
// many that were. An upload whose begin was never answered has none, for nobody
// knows its id.
func AbortEmpty(ctx context.Context, b Bucket, pending ...PendingUpload) (aborted int, err error) {
	for _, p := range pending {
		u, err := b.ResumeUpload(ctx, p.Key, p.ID, PutOptions{})
		switch {
		case errors.Is(err, ErrNoUpload):
			continue
		case err != nil:
			return aborted, err
		case len(u.Parts()) > 0:
			continue
		}
		if err := u.Abort(ctx); err != nil {
			return aborted, err
		}
		aborted++
	}
	return aborted, nil
}

// tellUnanswered logs that uploads may be left after err. A key that may not
// list or abort uploads never may: that is one warning, with what to do.
func (r *retrier) tellUnanswered(key string, err error) {
	const text = "an upload may be left pending, for the answer to its begin was lost"
	switch {
	case err == nil:
	case !errors.Is(err, ErrDenied) && !errors.Is(err, ErrUnsupported):
		r.cfg.Log.Warn(text, "key", key, "err", err)
	case r.unlistable.Swap(true):
		r.cfg.Log.Debug(text, "key", key, "err", err)
	default:
		r.cfg.Log.Warn(text+", and so may others: allow s3:ListBucketMultipartUploads, s3:ListMultipartUploadParts and "+
			"s3:AbortMultipartUpload, or let a lifecycle rule of the bucket abort incomplete uploads", "key", key, "err", err)
	}
}
