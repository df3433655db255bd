package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/cgs3fs/cgs3fs/s3"
	"github.com/cgs3fs/cgs3fs/transfer"
)

// recovery brings kept files to where they belong.
type recovery struct {
	engine    *transfer.Engine
	bucket    s3.Bucket
	as        string // another key
	overwrite bool
	note      func(format string, args ...any)
}

func recoverUpload(c *cli.Context) error {
	files, err := choose(c, c.Args().Slice())
	if err != nil || len(files) == 0 {
		return err
	}
	if c.String("as") != "" && len(files) != 1 {
		return usagef("--as is for one file")
	}
	return withRecovery(c, func(r *recovery, b *opened) error {
		r.as, r.overwrite = c.String("as"), c.Bool("overwrite")
		var failed []error
		for _, k := range files {
			if err := sameBucket(k, b); err != nil {
				failed = append(failed, err)
				continue
			}
			if err := r.upload(c.Context, k); err != nil {
				failed = append(failed, fmt.Errorf("%s: %w", k.Name, err))
			}
		}
		if len(failed) > 0 && len(failed) < len(files) {
			return fail(exitPartly, "%w", errors.Join(failed...))
		}
		return errors.Join(failed...)
	})
}

func sameBucket(k kept, b *opened) error {
	source := strings.TrimPrefix(k.rescue.Source, "s3://")
	if bucket, _, _ := strings.Cut(source, "/"); bucket != b.binding.Bucket {
		return fail(exitUsage, "%s belongs to bucket %s, not %s", k.Name, bucket, b.binding.Bucket).try("add --bucket %s", bucket)
	}
	return nil
}

// withRecovery runs with an engine over the bucket that the flags mean.
func withRecovery(c *cli.Context, run func(*recovery, *opened) error) error {
	log := slog.New(slog.DiscardHandler)
	b, err := openBucket(c, "", log)
	if err != nil {
		return err
	}
	stage, err := openStage("")
	if err != nil {
		return err
	}
	e, err := transfer.New(b.bucket, nil, transfer.Config{Memory: divide(memoryLimit(0)).transfer, StageDir: stage.path, Log: log})
	if err != nil {
		return errors.Join(err, stage.close())
	}
	r := &recovery{engine: e, bucket: b.bucket, note: func(f string, a ...any) { notef(c, f, a...) }}
	return errors.Join(run(r, b), e.Close(), stage.close())
}

// upload saves one file under the condition that its mount would have saved it
// under. It is removed here only after S3 has acknowledged it.
func (r *recovery) upload(ctx context.Context, k kept) error {
	d, err := r.engine.Restore(k.saved)
	if lost, ok := errors.AsType[*transfer.LostError](err); ok {
		return fail(exitDiffers, "%w", lost).try("cgs3fs recover export %s FILE writes the rest, with zeros for what is lost", k.Name)
	}
	if err != nil {
		return err
	}
	defer d.Discard(context.WithoutCancel(ctx))
	key, o := k.Key, k.options()
	l := d.Landed()
	switch {
	case r.as != "":
		key, o.IfMatch, o.IfNoneMatch = r.as, "", "*"
	case l != nil && l.Object.Key == key:
		if l.Whole && k.sameAttributes(l.Options) {
			r.note("%s is saved: the bucket had all of it already", k.File)
			return k.remove()
		}
		o.IfMatch, o.IfNoneMatch = l.Object.ETag, ""
	case r.overwrite:
		o.IfMatch, o.IfNoneMatch = "", ""
	default:
		if o, err = unlessNewer(ctx, r.bucket, k); err != nil {
			return err
		}
	}
	if _, err := d.Commit(ctx, key, o); err != nil {
		return r.refused(k, err)
	}
	r.note("%s is saved", k.File)
	return k.remove()
}

// refused says what can be done about a Commit that failed.
func (r *recovery) refused(k kept, err error) error {
	if !errors.Is(err, s3.ErrChanged) && !errors.Is(err, s3.ErrExists) && !errors.Is(err, s3.ErrNotFound) {
		return err
	}
	e := fail(exitDiffers, "%w", err)
	if r.as != "" && k.saved.UploadID != "" {
		return e.try("a part of it waits in the bucket, and only for %s: copy what is there now, then use --overwrite without --as", k.Key)
	}
	return e.try("somebody else has changed the file: --as KEY saves it beside, --overwrite over it")
}

// options are what the mount would have saved the file with.
func (k kept) options() s3.PutOptions {
	o := k.rescue.Options
	return s3.PutOptions{
		Attributes: s3.Attributes{ContentType: o.ContentType, Metadata: o.Metadata},
		IfMatch:    o.IfMatch, IfNoneMatch: o.IfNoneMatch,
	}
}

func (k kept) sameAttributes(o s3.PutOptions) bool {
	return k.rescue.Options.ContentType == o.ContentType && maps.Equal(k.rescue.Options.Metadata, o.Metadata)
}

// unlessNewer are the options of a file that may not replace what has come since.
func unlessNewer(ctx context.Context, b s3.Bucket, k kept) (s3.PutOptions, error) {
	o := k.options()
	if o.IfMatch != "" || o.IfNoneMatch != "" {
		return o, nil
	}
	now, err := b.Head(ctx, k.Key)
	switch {
	case errors.Is(err, s3.ErrNotFound):
		o.IfNoneMatch = "*"
		return o, nil
	case err != nil:
		return o, err
	case now.LastModified.After(k.When):
		return o, fail(exitDiffers, "%s was changed in the bucket after this was put aside", k.Key).
			try("--as KEY saves it beside, --overwrite over it")
	}
	o.IfMatch = now.ETag
	return o, nil
}

func recoverExport(c *cli.Context) error {
	if c.NArg() != 2 {
		return usagef("name what to export, and a file").try("cgs3fs recover export NAME FILE")
	}
	files, err := choose(c, c.Args().Slice()[:1])
	if err != nil {
		return err
	}
	if len(files) != 1 {
		return usagef("export takes one file")
	}
	return withRecovery(c, func(r *recovery, b *opened) error {
		if err := sameBucket(files[0], b); err != nil {
			return err
		}
		return r.export(c.Context, files[0], c.Args().Get(1))
	})
}

// export writes a file's content to path, or what there is of it.
func (r *recovery) export(ctx context.Context, k kept, path string) (err error) {
	d, err := r.engine.Restore(k.saved)
	lost, some := errors.AsType[*transfer.LostError](err)
	if err != nil && !some {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		if d != nil {
			err = errors.Join(err, d.Discard(ctx))
		}
		return fail(exitFailed, "%w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if some {
		if err := errors.Join(k.saved.Rest(f), f.Sync()); err != nil {
			return err
		}
		return fail(exitPartly, "%s has zeros for what is lost: %w", path, lost)
	}
	defer d.Discard(context.WithoutCancel(ctx))
	return r.exportDraft(ctx, k, d, f)
}

// exportDraft reads all of a draft. What has left for an upload can't be read
// before that is completed, which may not replace what has come since.
func (r *recovery) exportDraft(ctx context.Context, k kept, d *transfer.Draft, f *os.File) error {
	o, err := unlessNewer(ctx, r.bucket, k)
	if err != nil {
		o.IfMatch, o.IfNoneMatch = "", "*"
	}
	published := false
	d.SetPublish(func() (string, s3.PutOptions) {
		published = true
		return k.Key, o
	})
	buf := make([]byte, 1<<20)
	for off := int64(0); off < d.Size(); {
		n, err := d.ReadAt(ctx, buf, off)
		if err != nil && !errors.Is(err, io.EOF) {
			if published {
				return r.refused(k, err)
			}
			return err
		}
		if n == 0 {
			return io.ErrUnexpectedEOF
		}
		if _, err := f.Write(buf[:n]); err != nil {
			return err
		}
		off += int64(n)
	}
	if published {
		r.note("%s is in the bucket now: a part of it could not be read otherwise", k.File)
	}
	return f.Sync()
}
