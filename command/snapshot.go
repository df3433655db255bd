package command

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/cgs3fs/cgs3fs/s3"
	"github.com/cgs3fs/cgs3fs/snapshot"
)

// snapshotSession is what the snapshot commands work with.
type snapshotSession struct {
	cfg   snapshot.Config
	store *snapshot.Store

	// openOther opens the bucket that an s3:// address names, for restore.
	openOther func(address string) (otherBucket, error)

	out, err io.Writer
	terminal bool // a person watches err
	now      func() time.Time
}

// otherBucket is where a restore may go.
type otherBucket struct {
	bucket, direct s3.Bucket // direct is without retries; see snapshot.Config
	name, prefix   string
}

// snapshotOpener finds the buckets that the flags of a command mean. With
// readOnly nothing is ever written.
type snapshotOpener func(c *cli.Context, readOnly bool) (*snapshotSession, error)

// snapshotCommandWith is the snapshot command over any opener. source are the
// flags that name the bucket.
func snapshotCommandWith(open snapshotOpener, source []cli.Flag) *cli.Command {
	source = slices.DeleteFunc(slices.Clone(source), func(f cli.Flag) bool {
		return f.Names()[0] == "prefix" // here it is that of the snapshots
	})
	command := func(name, usage, args string, run func(*cli.Context, snapshotOpener) error, flags ...cli.Flag) *cli.Command {
		return &cli.Command{
			Name: name, Usage: usage, ArgsUsage: args, Flags: slices.Concat(flags, placeFlags(name != "restore"), source),
			Action: func(c *cli.Context) error { return snapshotFailure(c, run(c, open)) },
		}
	}
	create := command("create", "make a dated copy of the bucket, or finish one that was interrupted", "", snapshotCreate, createFlags()...)
	create.Description = "Every object outside the snapshots is copied to data/YEAR/MONTH/DAY/KEY, by the server itself where\n" +
		"the key may. Only when all copies are there and checked does the snapshot exist. A second one of the\n" +
		"same day has the time in its name. Without \"create\" the command is the same."
	return plainErrors(&cli.Command{
		Name: "snapshot", Usage: "dated copies of the bucket: make, check, compare, restore and thin out",
		Flags: create.Flags,
		Action: func(c *cli.Context) error {
			if c.NArg() > 0 {
				return usagef("there is no command \"snapshot %s\"", c.Args().First()).try("cgs3fs snapshot --help lists them")
			}
			return create.Action(c)
		},
		Subcommands: []*cli.Command{
			create,
			command("list", "list the snapshots", "", snapshotList, listFlags()...),
			command("show", "tell about a snapshot, or list what it holds below PATH", "ID [PATH]", snapshotShow, jsonFlag()),
			command("cat", "print an object as a snapshot holds it", "ID KEY", snapshotCat),
			command("verify", "check that snapshots are whole", "ID...|--all", snapshotVerify, verifyFlags()...),
			command("diff", "compare a snapshot with another, or with the bucket as it is now", "ID ID|live [PATH]", snapshotDiff, diffFlags()...),
			command("restore", "bring back a snapshot, or some of it", "ID [KEY|PREFIX/]...", snapshotRestore, restoreFlags()...),
			command("prune", "delete the snapshots that no rule keeps", "", snapshotPrune, pruneFlags()...),
			command("delete", "delete snapshots", "ID...", snapshotDelete, dryRunFlag(), takeOverFlag(), jsonFlag()),
			command("pin", "protect snapshots from prune and delete", "ID...", snapshotPin, dryRunFlag()),
			command("unpin", "end that", "ID...", snapshotPin, dryRunFlag()),
			command("adopt", "make a snapshot of what another tool copied below data/YEAR/MONTH/DAY/", "PREFIX", snapshotAdopt, noteFlags()...),
			command("materialize", "copy all that a snapshot links to into it", "ID", snapshotMaterialize, dryRunFlag(), jsonFlag()),
		},
	})
}

// placeFlags say where the snapshots are. Where --to means nothing else, it is
// another name of --in.
func placeFlags(to bool) []cli.Flag {
	also := func(name string) []string {
		if to {
			return []string{name}
		}
		return nil
	}
	return []cli.Flag{
		&cli.StringFlag{Name: "in", Aliases: also("to"), Category: categoryPlace, Usage: "keep snapshots in another bucket: s3://`BUCKET`, or the name of a service"},
		&cli.StringFlag{Name: "in-space", Aliases: also("to-space"), Category: categoryPlace, Usage: "the `SPACE` of that service, such as backups"},
		&cli.StringFlag{Name: "in-credentials", Aliases: also("to-credentials"), Category: categoryPlace, Usage: "a `FILE` with credentials for that bucket"},
		&cli.StringFlag{Name: "prefix", Category: categoryPlace, Usage: "keep snapshots below `PREFIX`; to these, snapshots below another prefix are data as any other", DefaultText: "data"},
	}
}

const categoryPlace = "Where the snapshots are:"

func dryRunFlag() cli.Flag {
	return &cli.BoolFlag{Name: "dry-run", Aliases: []string{"n"}, Usage: "tell what would be done, and do nothing", DisableDefaultText: true}
}

func takeOverFlag() cli.Flag {
	return &cli.BoolFlag{Name: "take-over", Usage: "go on although another run seems to be at work: its machine is gone", DisableDefaultText: true}
}

// snapshotFailure gives an error of package snapshot its exit status and says
// what to do about it.
func snapshotFailure(c *cli.Context, err error) error {
	var done *exitError
	if err == nil || errors.As(err, &done) {
		return err
	}
	switch {
	case errors.Is(err, snapshot.ErrNoSnapshot):
		return fail(exitNotFound, "%w", err).try("cgs3fs snapshot list shows what there is")
	case errors.Is(err, snapshot.ErrNoKey):
		return fail(exitNotFound, "%w", err).try("cgs3fs snapshot show ID PATH lists what is there")
	case errors.Is(err, snapshot.ErrLocked):
		return fail(exitLocked, "%w", err).try("wait for it; if its machine is gone, it counts as dead after ten minutes%s", orTakeOver(c))
	case errors.Is(err, snapshot.ErrLost):
		return fail(exitLocked, "%w", err).try("nothing is lost: the other run goes on from here")
	case errors.Is(err, snapshot.ErrRefused):
		return fail(exitRefused, "%w", err)
	case errors.Is(err, snapshot.ErrDamaged), errors.Is(err, snapshot.ErrDiffers):
		return fail(exitDiffers, "%w", err)
	}
	return err
}

// orTakeOver is the advice to do so, where that has not been tried.
func orTakeOver(c *cli.Context) string {
	can := slices.ContainsFunc(c.Command.Flags, func(f cli.Flag) bool { return f.Names()[0] == "take-over" })
	if can && !c.Bool("take-over") {
		return ", or with --take-over"
	}
	return ""
}

// interruptedFailure is snapshotFailure for a run that may have done some of its
// work: where nothing else helps, the advice is to do it again.
func interruptedFailure(c *cli.Context, err error, advice string) error {
	err = snapshotFailure(c, err)
	var known *exitError
	if errors.As(err, &known) {
		return err
	}
	return fail(statusOf(err), "%w", err).try("%s", advice)
}

// oneID resolves the only argument of a command.
func (s *snapshotSession) oneID(ctx context.Context, name string) (snapshot.ID, error) {
	if name == "" {
		return "", usagef("which snapshot?").try("a name such as 2026-11-23, a unique beginning of one, yesterday, or latest")
	}
	return s.store.Find(ctx, name)
}

// openFor opens a session for a command that has at least n arguments and at
// most m; m < 0 is no limit.
func openFor(c *cli.Context, open snapshotOpener, n, m int) (*snapshotSession, error) {
	if m == 0 && c.NArg() > 0 {
		return nil, usagef("%q is not understood: snapshot %s takes options only", c.Args().First(), c.Command.Name).
			try("cgs3fs snapshot %s --help lists them", c.Command.Name)
	}
	if c.NArg() < n || m >= 0 && c.NArg() > m {
		return nil, usagef("snapshot %s needs %s", c.Command.Name, strings.ReplaceAll(c.Command.ArgsUsage, "...", " …")).
			try("cgs3fs snapshot %s --help tells more", c.Command.Name)
	}
	return open(c, c.Bool("dry-run"))
}
