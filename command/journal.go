package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cgs3fs/cgs3fs/s3"
)

// uploadJournal is a bucket that writes down which multipart uploads are under
// way, before they begin. What a crash leaves behind costs money for ever and
// shows in no listing; the next mount of the same bucket finds it here.
type uploadJournal struct {
	s3.Bucket
	dir              string
	endpoint, bucket string
}

func newUploadJournal(b s3.Bucket, dir, endpoint, bucket string) *uploadJournal {
	return &uploadJournal{Bucket: b, dir: dir, endpoint: endpoint, bucket: bucket}
}

// uploadNote is one upload under way. Its file is locked while the process
// that uploads lives.
type uploadNote struct {
	Endpoint, Bucket, Key string
	ID                    string // empty while the server's answer is awaited
	Began                 time.Time
}

// NewUpload notes the key, begins the upload, and notes its id.
func (j *uploadJournal) NewUpload(ctx context.Context, key string, o s3.PutOptions) (s3.Upload, error) {
	f, err := os.CreateTemp(j.dir, "upload-*.json")
	if err != nil {
		return nil, fmt.Errorf("noting an upload: %w", err)
	}
	n := uploadNote{Endpoint: j.endpoint, Bucket: j.bucket, Key: key, Began: time.Now()}
	done := func() { _ = errors.Join(os.Remove(f.Name()), f.Close()) }
	if err := errors.Join(unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB), n.write(f)); err != nil {
		done()
		return nil, fmt.Errorf("noting an upload: %w", err)
	}
	u, err := j.Bucket.NewUpload(ctx, key, o)
	if err != nil {
		if !errors.Is(err, s3.ErrUnavailable) && !errors.Is(err, s3.ErrCanceled) {
			done() // otherwise it may have begun all the same: the note stays for the next mount
		} else {
			f.Close()
		}
		return nil, err
	}
	n.ID = u.ID()
	if err := n.write(f); err != nil {
		abortErr := u.Abort(context.WithoutCancel(ctx))
		done()
		return nil, errors.Join(fmt.Errorf("noting an upload: %w", err), abortErr)
	}
	return &notedUpload{u, done}, nil
}

func (n uploadNote) write(f *os.File) error {
	text, err := json.Marshal(n)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(append(text, '\n'), 0)
	return err
}

// notedUpload removes its note when the upload is over.
type notedUpload struct {
	s3.Upload
	done func()
}

func (u *notedUpload) Complete(ctx context.Context) (s3.Info, error) {
	info, err := u.Upload.Complete(ctx)
	if err == nil {
		u.done()
	}
	return info, err
}

func (u *notedUpload) Abort(ctx context.Context) error {
	err := u.Upload.Abort(ctx)
	if err == nil {
		u.done()
	}
	return err
}

// clean aborts the uploads of this bucket that dead processes have left.
// Uploads that a recovery file still needs are kept.
func (j *uploadJournal) clean(ctx context.Context, keep func(id string) bool) (aborted int, err error) {
	notes, err := filepath.Glob(filepath.Join(j.dir, "upload-*.json"))
	if err != nil {
		return 0, err
	}
	var errs []error
	for _, path := range notes {
		n, err := j.cleanOne(ctx, path, keep)
		aborted += n
		errs = append(errs, err)
	}
	return aborted, errors.Join(errs...)
}

func (j *uploadJournal) cleanOne(ctx context.Context, path string, keep func(id string) bool) (int, error) {
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_NOFOLLOW, 0)
	if err != nil {
		return 0, nil // gone meanwhile
	}
	defer f.Close()
	if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
		return 0, nil // its process lives
	}
	var n uploadNote
	if err := json.NewDecoder(f).Decode(&n); err != nil {
		return 0, os.Remove(path) // cut short before the upload could begin
	}
	if n.Endpoint != j.endpoint || n.Bucket != j.bucket || keep(n.ID) {
		return 0, nil
	}
	aborted, err := j.abort(ctx, n)
	if err != nil {
		return aborted, fmt.Errorf("aborting an upload of %q: %w", n.Key, err)
	}
	return aborted, os.Remove(path)
}

// abort ends the noted upload, and what attempts to begin it may have begun
// without an answer: none of these is later than the one that was answered, by
// the server's clock. What begins now may be of the program that crashed.
func (j *uploadJournal) abort(ctx context.Context, n uploadNote) (aborted int, err error) {
	pending, unlisted := j.ListUploads(ctx, n.Key)
	if n.ID == "" && unlisted != nil {
		return 0, unlisted
	}
	at := slices.IndexFunc(pending, func(p s3.PendingUpload) bool { return p.ID == n.ID })
	pending = slices.DeleteFunc(slices.Clone(pending), func(p s3.PendingUpload) bool {
		if p.Key != n.Key || p.ID == n.ID {
			return true
		}
		if n.ID == "" {
			return p.Initiated.Sub(n.Began).Abs() > clockSlack
		}
		return at < 0 || p.Initiated.After(pending[at].Initiated) || pending[at].Initiated.Sub(p.Initiated) > clockSlack
	})
	if n.ID != "" {
		u, err := j.ResumeUpload(ctx, n.Key, n.ID, s3.PutOptions{})
		if err == nil {
			err = u.Abort(ctx)
			aborted++
		}
		if err != nil && !errors.Is(err, s3.ErrNoUpload) {
			return 0, err
		}
	}
	if errors.Is(unlisted, s3.ErrDenied) || errors.Is(unlisted, s3.ErrUnsupported) {
		return aborted, nil // nor will the next mount be told
	}
	if unlisted != nil {
		return aborted, unlisted
	}
	unanswered, err := s3.AbortEmpty(ctx, j.Bucket, pending...)
	return aborted + unanswered, err
}

// clockSlack is how far the server's clock may be from ours.
const clockSlack = 5 * time.Minute

// cleanUploads runs once, in the background of a new mount.
func (e *engine) cleanUploads(ctx context.Context) {
	n, err := e.journal.clean(ctx, e.recoverable)
	if err != nil {
		e.log.Warn("uploads that a crash left behind remain", "err", err)
	}
	if n > 0 {
		e.log.Info("aborted uploads that a crash left behind", "uploads", n)
	}
}
