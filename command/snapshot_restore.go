package command

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/cgs3fs/cgs3fs/s3"
	"github.com/cgs3fs/cgs3fs/snapshot"
)

func restoreFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "to", Usage: "restore into another bucket or below a prefix: s3://`BUCKET/PREFIX/`"},
		&cli.StringFlag{Name: "to-dir", Usage: "restore into a local `DIRECTORY`"},
		&cli.StringFlag{Name: "overwrite", Value: string(snapshot.OverwriteChanged), Usage: "what is there: changed (replace what differs), never, always; `WHAT`"},
		&cli.BoolFlag{Name: "delete", Usage: "remove what the snapshot has not", DisableDefaultText: true},
		&cli.BoolFlag{Name: "no-safety", Usage: "don't snapshot first what is about to change", DisableDefaultText: true},
		&cli.BoolFlag{Name: "with-config", Usage: "bring back the bucket's CORS rules, too", DisableDefaultText: true},
		dryRunFlag(), progressFlag(), jsonFlag(),
	}
}

func snapshotRestore(c *cli.Context, open snapshotOpener) error {
	o := snapshot.RestoreOptions{
		Overwrite: snapshot.Overwrite(c.String("overwrite")), Delete: c.Bool("delete"), NoSafety: c.Bool("no-safety"),
		DryRun: c.Bool("dry-run"), Progress: &snapshot.Progress{},
	}
	if err := checkRestore(c, o); err != nil {
		return err
	}
	s, err := openFor(c, open, 1, -1)
	if err != nil {
		return err
	}
	id, err := s.oneID(c.Context, c.Args().First())
	if err != nil {
		return err
	}
	o.Paths = c.Args().Tail()
	if to := c.String("to"); to != "" {
		other, err := s.openOther(to)
		if err != nil {
			return err
		}
		o.To, o.Direct, o.ToName, o.ToPrefix = other.bucket, other.direct, other.name, other.prefix
		if o.ToPrefix != "" && !strings.HasSuffix(o.ToPrefix, "/") { // as mount takes it
			o.ToPrefix += "/"
		}
	}
	o.Progress.Done.Store(true)
	var done *snapshot.Restored
	err = s.watch(c, o.Progress, func() (err error) {
		if dir := c.String("to-dir"); dir != "" {
			done, err = s.store.RestoreDir(c.Context, id, dir, o)
		} else {
			done, err = s.store.Restore(c.Context, id, o)
		}
		return err
	})
	if err != nil {
		return interruptedFailure(c, err, "the same command goes on: what is restored already is not touched again")
	}
	err = s.printRestored(c, done)
	if c.Bool("with-config") && !o.DryRun {
		err = errors.Join(s.restoreConfig(c, id), err)
	}
	return err
}

func checkRestore(c *cli.Context, o snapshot.RestoreOptions) error {
	switch o.Overwrite {
	case snapshot.OverwriteChanged, snapshot.OverwriteNever, snapshot.OverwriteAlways:
	default:
		return usagef("--overwrite %q is not understood", o.Overwrite).try("it is changed, never or always")
	}
	if c.String("to") != "" && c.String("to-dir") != "" {
		return usagef("--to and --to-dir contradict each other")
	}
	if c.Bool("with-config") && c.String("to")+c.String("to-dir") != "" {
		return usagef("--with-config is about the bucket itself, and nothing else goes there").try("leave out --to and --to-dir, or --with-config")
	}
	if dir := c.String("to-dir"); dir != "" {
		if info, err := os.Stat(dir); err != nil || !info.IsDir() {
			return usagef("%s is no directory", dir).try("make it first")
		}
	}
	return nil
}

// restoreConfig puts the CORS rules of the snapshot's time back.
func (s *snapshotSession) restoreConfig(c *cli.Context, id snapshot.ID) error {
	m, err := s.store.Load(c.Context, id)
	if err != nil {
		return err
	}
	cors, ok := s3.As[s3.CORS](s.cfg.Source)
	switch {
	case !ok:
		return fail(exitFailed, "this kind of bucket has no CORS rules")
	case m.UnreadCORS:
		return fail(exitRefused, "%s does not know the CORS rules of its time, which could not be read; they stay as they are", id)
	case len(m.CORS) == 0:
		return cors.DeleteCORS(c.Context)
	}
	return cors.PutCORS(c.Context, m.CORS)
}

// restoredJSON is what restore prints.
type restoredJSON struct {
	ID        snapshot.ID     `json:"id"`
	DryRun    bool            `json:"dry_run,omitempty"`
	Copied    int64           `json:"copied"`
	Bytes     int64           `json:"copied_bytes"`
	Same      int64           `json:"same"`
	Kept      int64           `json:"kept,omitempty"`
	Deleted   int64           `json:"deleted"`
	Safety    snapshot.ID     `json:"safety_snapshot,omitempty"`
	Conflicts []string        `json:"conflicts,omitempty"`
	Damaged   []string        `json:"damaged,omitempty"`
	Skipped   []snapshot.Note `json:"skipped,omitempty"`
	Cost      *snapshot.Cost  `json:"cost,omitempty"` // in a dry run
}

func (s *snapshotSession) printRestored(c *cli.Context, r *snapshot.Restored) error {
	if c.Bool("json") {
		out := restoredJSON{
			r.ID, c.Bool("dry-run"), r.Copied, r.Bytes, r.Same, r.Kept, r.Deleted, r.Safety, r.Conflicts, r.Damaged, r.Skipped, nil,
		}
		if out.DryRun {
			out.Cost = &r.Cost
		}
		return errors.Join(printJSON(s.out, out), restoreVerdict(r))
	}
	if c.Bool("dry-run") {
		fmt.Fprintf(s.out, "would restore from %s: %s; %s are the same, %s would be deleted\n  %s\n",
			r.ID, objects(r.Copied, r.Bytes), objectsOnly(r.Same), objectsOnly(r.Deleted), costText(r.Cost))
	} else {
		fmt.Fprintf(s.out, "restored from %s: %s; %s were the same, %s deleted\n",
			r.ID, objects(r.Copied, r.Bytes), objectsOnly(r.Same), objectsOnly(r.Deleted))
	}
	if r.Kept > 0 {
		fmt.Fprintf(s.out, "%s differ and were left as they are\n", objectsOnly(r.Kept))
	}
	if r.Safety != "" {
		fmt.Fprintf(s.out, "what was changed is in %s\n", r.Safety)
	}
	for _, key := range r.Conflicts {
		notef(c, "%s: changed by somebody else meanwhile; left as it is", printable(key))
	}
	for _, key := range r.Damaged {
		notef(c, "%s: the copy in the snapshot is missing or altered", printable(key))
	}
	for _, n := range r.Skipped {
		notef(c, "%s: skipped: %s", printable(n.Key), n.Err)
	}
	return restoreVerdict(r)
}

// restoreVerdict is the error for what could not be done.
func restoreVerdict(r *snapshot.Restored) error {
	switch {
	case len(r.Damaged) > 0:
		return fail(exitDiffers, "%d objects of %s are damaged", len(r.Damaged), r.ID).try("cgs3fs snapshot verify --repair %s may mend them", r.ID)
	case len(r.Conflicts) > 0:
		return fail(exitDiffers, "%d objects were changed by somebody else meanwhile", len(r.Conflicts))
	case len(r.Skipped) > 0:
		return fail(exitPartly, "%d keys are no paths, or could not be written", len(r.Skipped))
	}
	return nil
}
