package command

import (
	"errors"
	"fmt"

	"github.com/dustin/go-humanize"
	"github.com/urfave/cli/v2"

	"github.com/cgs3fs/cgs3fs/snapshot"
)

func createFlags() []cli.Flag {
	return append([]cli.Flag{
		&cli.StringFlag{Name: "from", Usage: "only keys below `PREFIX`"},
		&cli.StringSliceFlag{Name: "exclude", Usage: "leave out keys that match `GLOB`: * is anything but /, ** anything"},
		&cli.StringSliceFlag{Name: "include", Usage: "take keys that match `GLOB` although an exclude does; alone, take only these"},
		&cli.BoolFlag{Name: "incremental", Usage: "link what is unchanged since the latest snapshot instead of copying it", DisableDefaultText: true},
		&cli.StringFlag{Name: "parent", Usage: "link to the snapshot `ID` rather than the latest"},
		&cli.StringFlag{Name: "full-every", Usage: "make an incremental one full if the last full one of the same keys is older than `AGE`, such as 30d"},
		&cli.BoolFlag{Name: "if-missing", Usage: "do nothing if there is one of today, of the same keys", DisableDefaultText: true},
		&cli.BoolFlag{Name: "resume", Usage: "finish the one that was interrupted, however long ago; one of today or begun within 12 hours is finished anyway", DisableDefaultText: true},
		&cli.BoolFlag{Name: "no-resume", Usage: "begin anew, also if the last one was interrupted", DisableDefaultText: true},
		&cli.BoolFlag{Name: "strict", Usage: "fail if any object can't be read", DisableDefaultText: true},
		&cli.BoolFlag{Name: "allow-public", Usage: "also if anybody may read the bucket that the copies go to", DisableDefaultText: true},
		&cli.StringFlag{Name: "verify", Usage: "when it is made, verify it by `LEVEL` head or read, too"},
		takeOverFlag(), dryRunFlag(), progressFlag(), jsonFlag(),
	}, commentFlags()...)
}

// noteFlags are what adopt has of them.
func noteFlags() []cli.Flag {
	return append(commentFlags(), takeOverFlag(), dryRunFlag(), progressFlag(), jsonFlag())
}

func commentFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "note", Usage: "a `TEXT` to remember it by"},
		&cli.StringSliceFlag{Name: "tag", Usage: "a `TAG`, for prune --keep-tag"},
	}
}

func createOptions(v *values) snapshot.CreateOptions {
	c := v.c
	o := snapshot.CreateOptions{
		From: c.String("from"), Comment: c.String("note"), Tags: c.StringSlice("tag"),
		Incremental: c.Bool("incremental") || c.String("parent") != "", Parent: c.String("parent"),
		IfMissing: c.Bool("if-missing"), NoResume: c.Bool("no-resume"), Resume: c.Bool("resume"), TakeOver: c.Bool("take-over"),
		Strict: c.Bool("strict"), AllowPublic: c.Bool("allow-public"), Progress: &snapshot.Progress{},
	}
	for _, glob := range v.words("exclude") {
		o.Filter = append(o.Filter, snapshot.Pattern{Exclude: glob})
	}
	for _, glob := range v.words("include") {
		o.Filter = append(o.Filter, snapshot.Pattern{Include: glob})
	}
	return o
}

func snapshotCreate(c *cli.Context, open snapshotOpener) error {
	v := &values{c: c}
	o := createOptions(v)
	o.FullEvery = v.age("full-every")
	level, err := levelOf(c.String("verify"))
	if err := errors.Join(v.err, err); err != nil {
		return err
	}
	if o.Resume && o.NoResume {
		return usagef("--resume and --no-resume exclude each other")
	}
	if o.FullEvery > 0 && !o.Incremental {
		return usagef("--full-every is about --incremental ones: without, all are full")
	}
	s, err := openFor(c, open, 0, 0)
	if err != nil {
		return err
	}
	if c.Bool("dry-run") {
		return s.printEstimate(c, o)
	}
	var made *snapshot.Created
	err = s.watch(c, o.Progress, func() (err error) {
		made, err = s.store.Create(c.Context, o)
		return err
	})
	if err != nil {
		return interruptedFailure(c, err, "the same command, tomorrow with --resume, goes on where this run ended; nothing is copied twice")
	}
	if err := s.printCreated(c, made); err != nil {
		return err
	}
	if level != snapshot.ByListing && !made.Existed {
		if err := s.verify(c, []snapshot.ID{made.ID}, snapshot.VerifyOptions{Level: level}); err != nil {
			return err
		}
	}
	if made.State == snapshot.Partial && !made.Existed {
		return fail(exitPartly, "%d objects are not in %s", made.Skipped, made.ID).try("cgs3fs snapshot show %s names them", made.ID)
	}
	return nil
}

// createdJSON is a manifest without its segments, which are of no use to people.
type createdJSON struct {
	snapshot.Info
	Existed  bool  `json:"existed"`
	Resumed  bool  `json:"resumed"`
	Copies   int64 `json:"copies"`
	TagsLost int64 `json:"tags_lost,omitempty"`
	Changed  int64 `json:"changed_during,omitempty"`
	Vanished int64 `json:"vanished_during,omitempty"`
}

func (s *snapshotSession) printCreated(c *cli.Context, made *snapshot.Created) error {
	if c.Bool("json") {
		return printJSON(s.out, createdJSON{
			made.Info(), made.Existed, made.Resumed, made.Copies, made.TagsLost, made.Changed, made.Vanished,
		})
	}
	if made.Existed {
		_, err := fmt.Fprintf(s.out, "%s is there already: %s\n", made.ID, objects(made.Objects, made.Bytes))
		return err
	}
	how := string(made.Copy)
	if made.Own < made.Objects {
		how = fmt.Sprintf("%s of them linked", humanize.Comma(made.Objects-made.Own))
	}
	if how != "" {
		how = ", " + how
	}
	_, err := fmt.Fprintf(s.out, "%s: %s%s\n", made.ID, objects(made.Objects, made.Bytes), how)
	if made.Resumed {
		notef(c, "this one was begun at %s and interrupted, and is finished now", made.Started.Format("2006-01-02 15:04 MST"))
	}
	if made.Changed+made.Vanished > 0 {
		notef(c, "meanwhile %d objects were changed, and are in it as they are now; %d were deleted, and are not", made.Changed, made.Vanished)
	}
	if made.TagsLost > 0 {
		notef(c, "%d objects lost their tags, which this key may not read or write", made.TagsLost)
	}
	return err
}

func (s *snapshotSession) printEstimate(c *cli.Context, o snapshot.CreateOptions) error {
	est, err := s.store.Plan(c.Context, o)
	if err != nil {
		return err
	}
	if c.Bool("json") {
		return printJSON(s.out, est)
	}
	if est.Existed {
		_, err := fmt.Fprintf(s.out, "%s is there already; nothing to do\n", est.ID)
		return err
	}
	verb := "would make"
	if est.Resume {
		verb = "would finish"
	}
	_, err = fmt.Fprintf(s.out, "%s %s: %s\n  to copy: %s\n  %s\n",
		verb, est.ID, objects(est.Objects, est.Bytes), objects(est.Copies, est.Copied),
		costText(snapshot.Cost{Lists: est.Lists, Writes: est.Writes, Dollars: est.Dollars}))
	return err
}

func snapshotAdopt(c *cli.Context, open snapshotOpener) error {
	s, err := openFor(c, open, 1, 1)
	if err != nil {
		return err
	}
	o := createOptions(&values{c: c})
	if c.Bool("dry-run") {
		est, err := s.store.PlanAdopt(c.Context, c.Args().First(), o)
		if err != nil {
			return err
		}
		if c.Bool("json") {
			return printJSON(s.out, est)
		}
		_, err = fmt.Fprintf(s.out, "would make %s of %s, copying nothing\n  %s\n", est.ID, objects(est.Objects, est.Bytes),
			costText(snapshot.Cost{Lists: est.Lists, Writes: est.Writes, Dollars: est.Dollars}))
		return err
	}
	var made *snapshot.Created
	err = s.watch(c, o.Progress, func() (err error) {
		made, err = s.store.Adopt(c.Context, c.Args().First(), o)
		return err
	})
	if err != nil {
		return err
	}
	return s.printCreated(c, made)
}
