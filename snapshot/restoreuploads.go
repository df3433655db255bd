package snapshot

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cgs3fs/cgs3fs/s3"
)

// notingBucket is where a restore writes. It notes, beside the snapshots, which
// uploads are under way: their keys are anybody's, so that after a crash nothing
// else tells them from those of a mount or another program.
type notingBucket struct {
	s3.Bucket
	s    *Store
	name string // of the bucket
}

// uploadNote is the content of a note.
type uploadNote struct {
	Bucket string `json:"bucket"`
	Key    anyKey `json:"key"`
	Upload string `json:"upload,omitempty"` // its id; empty until the server has told it
}

// NewUpload notes the key, begins the upload, and notes its id.
func (b *notingBucket) NewUpload(ctx context.Context, key string, o s3.PutOptions) (s3.Upload, error) {
	n := uploadNote{Bucket: b.name, Key: anyKey(key)}
	place := b.s.at.restores() + b.s.cfg.NewRun() + ".json"
	if err := b.s.writeNote(ctx, place, n); err != nil {
		return nil, err
	}
	u, err := b.Bucket.NewUpload(ctx, key, o)
	noted := &notedUpload{u, b.s, place}
	if err != nil {
		if !errors.Is(err, s3.ErrUnavailable) && !errors.Is(err, s3.ErrCanceled) { // else it may have begun all the same
			noted.forget(ctx)
		}
		return nil, err
	}
	n.Upload = u.ID()
	if err := b.s.writeNote(ctx, place, n); err != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortTimeout)
		defer cancel()
		return nil, errors.Join(err, noted.Abort(ctx))
	}
	return noted, nil
}

func (s *Store) writeNote(ctx context.Context, place string, n uploadNote) error {
	data, err := encodeJSON(n)
	if err != nil {
		return err
	}
	o := s3.PutOptions{Attributes: s3.Attributes{ContentType: jsonType}}
	if _, err = s.dest.Put(ctx, place, bytes.NewReader(data), o); err != nil {
		return fmt.Errorf("noting an upload of %q: %w", n.Key, err)
	}
	return nil
}

// notedUpload removes its note when the upload is over.
type notedUpload struct {
	s3.Upload
	s    *Store
	note string
}

func (u *notedUpload) Complete(ctx context.Context) (s3.Info, error) {
	info, err := u.Upload.Complete(ctx)
	if err == nil {
		u.forget(ctx)
	}
	return info, err
}

func (u *notedUpload) Abort(ctx context.Context) error {
	err := u.Upload.Abort(ctx)
	if err == nil {
		u.forget(ctx)
	}
	return err
}

func (u *notedUpload) forget(ctx context.Context) {
	if err := u.s.dest.Delete(ctx, s3.Target{Key: u.note}); err != nil {
		u.s.cfg.Log.Debug("the note of an upload that is over stays until the next restore", "note", u.note, "err", err)
	}
}

// abortNoted gives up the uploads that restores into a bucket were at when they
// were killed. Only who holds the lock may: else their runs may be alive. What
// can't be given up costs storage and nothing else, and stays noted.
func (s *Store) abortNoted(ctx context.Context, bucket s3.Bucket, name string) error {
	notes, _, err := s.control.list(ctx, s.at.restores(), "")
	if err != nil {
		return err
	}
	for _, note := range notes {
		var n uploadNote
		_, err := s.control.readJSON(ctx, note.Key, &n)
		if err == nil && n.Bucket != name {
			continue
		}
		if err == nil {
			err = abortUpload(ctx, bucket, n, note.LastModified)
		}
		if err == nil {
			err = s.dest.Delete(ctx, s3.Target{Key: note.Key})
		}
		if ctx.Err() != nil {
			return err
		}
		if err != nil {
			s.cfg.Log.Warn("an upload that a restore was at may be left", "note", note.Key, "key", n.Key, "err", err)
		}
	}
	return nil
}

// unanswered is how long after its note an upload may have begun whose id nobody
// was told.
const unanswered = 5 * time.Minute

func abortUpload(ctx context.Context, bucket s3.Bucket, n uploadNote, noted time.Time) error {
	if n.Upload == "" {
		pending, err := bucket.ListUploads(ctx, string(n.Key))
		if errors.Is(err, s3.ErrDenied) || errors.Is(err, s3.ErrUnsupported) {
			return nil // nor will the next restore be told
		}
		if err != nil {
			return err
		}
		pending = slices.DeleteFunc(pending, func(p s3.PendingUpload) bool {
			return p.Key != string(n.Key) || p.Initiated.Sub(noted).Abs() > unanswered
		})
		_, err = s3.AbortEmpty(ctx, bucket, pending...)
		return err
	}
	u, err := bucket.ResumeUpload(ctx, string(n.Key), n.Upload, s3.PutOptions{})
	if errors.Is(err, s3.ErrNoUpload) {
		return nil
	}
	if err != nil {
		return err
	}
	return u.Abort(ctx)
}
