package command

import (
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/cgs3fs/cgs3fs/s3"
	"github.com/cgs3fs/cgs3fs/snapshot"
)

func diffFlags() []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Name: "stat", Usage: "only count", DisableDefaultText: true},
		&cli.BoolFlag{Name: "rewritten", Usage: "also what has the same bytes and was written again", DisableDefaultText: true},
		&cli.BoolFlag{Name: "exit-code", Usage: "exit with status 7 if there are differences", DisableDefaultText: true},
		jsonFlag(),
	}
}

// changeJSON is a difference as diff prints it.
type changeJSON struct {
	Kind   snapshot.Kind `json:"kind"`
	Key    string        `json:"key"`
	Before *entryJSON    `json:"before,omitempty"`
	After  *entryJSON    `json:"after,omitempty"`
}

// diffStat counts differences.
type diffStat struct {
	Added        int64 `json:"added"`
	AddedBytes   int64 `json:"added_bytes"`
	Removed      int64 `json:"removed"`
	RemovedBytes int64 `json:"removed_bytes"`
	Modified     int64 `json:"modified"`
	Rewritten    int64 `json:"rewritten"`
}

func (d *diffStat) add(ch snapshot.Change) {
	switch ch.Kind {
	case snapshot.Added:
		d.Added++
		d.AddedBytes += ch.After.Size
	case snapshot.Removed:
		d.Removed++
		d.RemovedBytes += ch.Before.Size
	case snapshot.Modified:
		d.Modified++
	case snapshot.Rewritten:
		d.Rewritten++
	}
}

func (d *diffStat) differ() bool { return d.Added+d.Removed+d.Modified > 0 }

func snapshotDiff(c *cli.Context, open snapshotOpener) error {
	s, err := openReading(c, open, 2, 3)
	if err != nil {
		return err
	}
	a, b, err := s.twoManifests(c)
	if err != nil {
		return err
	}
	var stat diffStat
	for ch, err := range s.store.Diff(c.Context, a, b, c.Args().Get(2)) {
		if err != nil {
			return err
		}
		stat.add(ch)
		if c.Bool("stat") || ch.Kind == snapshot.Rewritten && !c.Bool("rewritten") {
			continue
		}
		if err := s.printChange(c, ch); err != nil {
			return err
		}
	}
	if path := c.Args().Get(2); path != "" && stat == (diffStat{}) {
		if err := s.checkHeld(c, a.ID, path); err != nil {
			return err
		}
	}
	if c.Bool("stat") {
		if err := s.printStat(c, stat); err != nil {
			return err
		}
	}
	if c.Bool("exit-code") && stat.differ() {
		return fail(exitDiffers, "%s and %s differ", c.Args().Get(0), c.Args().Get(1))
	}
	return nil
}

// checkHeld finds a path that neither side of a comparison has anything of, which
// is a typing error and not a sameness.
func (s *snapshotSession) checkHeld(c *cli.Context, a snapshot.ID, path string) error {
	view, err := s.store.View(c.Context, a)
	if err != nil {
		return err
	}
	page, err := view.ListPage(c.Context, s3.ListInput{Prefix: path, Max: 1})
	if err == nil && len(page.Objects) == 0 {
		err = fail(exitNotFound, "neither %s nor %s holds anything below %q", a, c.Args().Get(1), path)
	}
	return err
}

// twoManifests loads what the first two arguments name; nil is the live bucket.
func (s *snapshotSession) twoManifests(c *cli.Context) (a, b *snapshot.Manifest, err error) {
	if c.Args().First() == "live" {
		return nil, nil, usagef("the live bucket comes second")
	}
	id, err := s.oneID(c.Context, c.Args().First())
	if err != nil {
		return nil, nil, err
	}
	if a, err = s.store.Load(c.Context, id); err != nil || c.Args().Get(1) == "live" {
		return a, nil, err
	}
	if id, err = s.oneID(c.Context, c.Args().Get(1)); err != nil {
		return nil, nil, err
	}
	b, err = s.store.Load(c.Context, id)
	return a, b, err
}

func (s *snapshotSession) printChange(c *cli.Context, ch snapshot.Change) error {
	if c.Bool("json") {
		out := changeJSON{Kind: ch.Kind, Key: ch.Key}
		if ch.Kind != snapshot.Added {
			out.Before = entryOut(ch.Before)
		}
		if ch.Kind != snapshot.Removed {
			out.After = entryOut(ch.After)
		}
		return printJSON(s.out, out)
	}
	signs := map[snapshot.Kind]string{snapshot.Added: "+", snapshot.Removed: "-", snapshot.Modified: "M", snapshot.Rewritten: "U"}
	_, err := fmt.Fprintf(s.out, "%s %s\n", signs[ch.Kind], printable(ch.Key))
	return err
}

func (s *snapshotSession) printStat(c *cli.Context, d diffStat) error {
	if c.Bool("json") {
		return printJSON(s.out, d)
	}
	_, err := fmt.Fprintf(s.out, "added: %s\nremoved: %s\nmodified: %s\nrewritten: %s\n",
		objects(d.Added, d.AddedBytes), objects(d.Removed, d.RemovedBytes), objectsOnly(d.Modified), objectsOnly(d.Rewritten))
	return err
}
