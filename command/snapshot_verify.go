package command

import (
	"errors"
	"fmt"
	"slices"

	"github.com/dustin/go-humanize"
	"github.com/urfave/cli/v2"

	"github.com/cgs3fs/cgs3fs/snapshot"
)

func verifyFlags() []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Name: "all", Usage: "all snapshots", DisableDefaultText: true},
		&cli.StringFlag{Name: "level", Value: string(snapshot.ByListing), Usage: "how closely: list (presence, size, ETag), head (checksums, too), read (every byte); `LEVEL`"},
		&cli.StringFlag{Name: "sample", Usage: "look closely at a part only: 5%, or 3/7 for the third of seven parts that make up all; `PART`"},
		&cli.BoolFlag{Name: "repair", Usage: "copy what is damaged anew, from the bucket or another snapshot that still has it", DisableDefaultText: true},
		dryRunFlag(), progressFlag(), jsonFlag(),
	}
}

func levelOf(name string) (snapshot.Level, error) {
	switch level := snapshot.Level(name); level {
	case "":
		return snapshot.ByListing, nil
	case snapshot.ByListing, snapshot.ByHead, snapshot.ByReading:
		return level, nil
	}
	return "", usagef("there is no level %q", name).try("levels are list, head and read")
}

func snapshotVerify(c *cli.Context, open snapshotOpener) error {
	v := &values{c: c}
	o := snapshot.VerifyOptions{Sample: v.sample("sample"), Repair: c.Bool("repair"), DryRun: c.Bool("dry-run")}
	level, err := levelOf(c.String("level"))
	if err := errors.Join(v.err, err); err != nil {
		return err
	}
	if c.Bool("all") && c.NArg() > 0 {
		return usagef("%q and --all contradict each other", c.Args().First())
	}
	if o.Level = level; !c.Bool("all") && c.NArg() == 0 {
		return usagef("which snapshots?").try("name some, or say --all")
	}
	s, err := openFor(c, func(c *cli.Context, _ bool) (*snapshotSession, error) { return open(c, !o.Repair || o.DryRun) }, 0, -1)
	if err != nil {
		return err
	}
	ids, err := s.namedIDs(c)
	if err != nil {
		return err
	}
	return s.verify(c, ids, o)
}

// namedIDs resolves the arguments, or all snapshots that exist, damaged ones as well,
// with --all.
func (s *snapshotSession) namedIDs(c *cli.Context) ([]snapshot.ID, error) {
	var ids []snapshot.ID
	if c.Bool("all") {
		list, err := s.store.List(c.Context)
		for _, info := range list {
			if slices.Contains([]snapshot.State{snapshot.Complete, snapshot.Partial, snapshot.Damaged}, info.State) {
				ids = append(ids, info.ID)
			}
		}
		if err == nil && len(ids) == 0 {
			s.noteNone(c)
		}
		return ids, err
	}
	for _, name := range c.Args().Slice() {
		id, err := s.oneID(c.Context, name)
		if err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// verifiedJSON is what verify prints of a snapshot.
type verifiedJSON struct {
	ID       snapshot.ID   `json:"id"`
	OK       bool          `json:"ok"`
	Objects  int64         `json:"objects"`
	Bytes    int64         `json:"bytes"`
	Read     int64         `json:"bytes_read,omitempty"`
	Unproven int64         `json:"unproven,omitempty"`
	Damaged  int64         `json:"damaged"`
	Repaired int64         `json:"repaired,omitempty"`
	Foreign  int64         `json:"foreign,omitempty"`
	Problems []problemJSON `json:"problems,omitempty"`
	Segments []string      `json:"damaged_segments,omitempty"`

	Mendable int64          `json:"mendable,omitempty"` // in a dry run
	Cost     *snapshot.Cost `json:"cost,omitempty"`     // in a dry run
}

type problemJSON struct {
	Key   string `json:"key"`
	Place string `json:"place"`
	Fault string `json:"fault"`
	Text  string `json:"text,omitempty"`
}

func (s *snapshotSession) verify(c *cli.Context, ids []snapshot.ID, o snapshot.VerifyOptions) error {
	bad := 0
	for _, id := range ids {
		o.Progress = &snapshot.Progress{}
		o.Progress.Done.Store(true)
		var found *snapshot.Verified
		err := s.watch(c, o.Progress, func() (err error) {
			found, err = s.store.Verify(c.Context, id, o)
			return err
		})
		if c.Bool("all") && errors.Is(err, snapshot.ErrNoSnapshot) {
			continue // a prune removed it since it was listed
		}
		if c.Bool("all") && errors.Is(err, snapshot.ErrDamaged) { // no manifest to go by
			bad++
			notef(c, "%v", err)
			continue
		}
		if err != nil {
			return err
		}
		if err := s.printVerified(c, o, found); err != nil {
			return err
		}
		if !found.OK() || o.DryRun && found.Damaged > 0 {
			bad++
		}
	}
	if bad > 0 {
		e := fail(exitDiffers, "%d of %d snapshots are damaged", bad, len(ids))
		if !o.Repair || o.DryRun {
			e = e.try("cgs3fs snapshot verify --repair ID copies anew what the bucket or another snapshot still has")
		}
		return e
	}
	return nil
}

func (s *snapshotSession) printVerified(c *cli.Context, o snapshot.VerifyOptions, v *snapshot.Verified) error {
	dryRun := o.Repair && o.DryRun
	if c.Bool("json") {
		return printJSON(s.out, verifiedOut(v, dryRun))
	}
	foreign := 0
	for _, p := range v.Problems {
		if p.Fault == snapshot.Foreign {
			if foreign++; foreign > maxForeign {
				continue
			}
		}
		fmt.Fprintf(s.out, "%s: %s %s: %s\n", v.ID, p.Fault, printable(p.Key), p.Text)
	}
	if more := v.Foreign - maxForeign; more > 0 {
		fmt.Fprintf(s.out, "%s: and %s more below its prefix that are not of it\n", v.ID, objectsOnly(more))
	}
	for _, name := range v.Segments {
		fmt.Fprintf(s.out, "%s: the manifest's %s is damaged\n", v.ID, name)
	}
	_, err := fmt.Fprintf(s.out, "%s: %s: %s\n", v.ID, objects(v.Objects, v.Bytes), verifiedText(v, dryRun))
	if err == nil && dryRun {
		_, err = fmt.Fprintf(s.out, "  %s\n", costText(v.Cost))
	}
	return err
}

// maxForeign is how many objects are named that harm nothing.
const maxForeign = 10

func verifiedOut(v *snapshot.Verified, dryRun bool) verifiedJSON {
	out := verifiedJSON{
		ID: v.ID, OK: v.OK(), Objects: v.Objects, Bytes: v.Bytes, Read: v.Read, Unproven: v.Unproven,
		Damaged: v.Damaged, Repaired: v.Repaired, Foreign: v.Foreign, Segments: v.Segments,
	}
	if dryRun {
		out.OK = v.Damaged == 0
		out.Mendable, out.Repaired, out.Cost = v.Repaired, 0, &v.Cost
	}
	for _, p := range v.Problems {
		out.Problems = append(out.Problems, problemJSON{p.Key, p.Place, string(p.Fault), p.Text})
	}
	return out
}

// verifiedText is the sum of it, in words.
func verifiedText(v *snapshot.Verified, dryRun bool) string {
	words := "whole"
	switch {
	case v.Damaged > 0 && dryRun:
		words = fmt.Sprintf("damaged: %s, %d can be repaired", objectsOnly(v.Damaged), v.Repaired)
	case v.Damaged > 0 && v.OK():
		words = fmt.Sprintf("whole again, %d repaired", v.Repaired)
	case !v.OK():
		words = fmt.Sprintf("damaged: %s, %d repaired", objectsOnly(v.Damaged), v.Repaired)
	}
	if v.Read > 0 {
		words += ", " + humanize.IBytes(uint64(v.Read)) + " read"
	}
	if v.Unproven > 0 {
		words += fmt.Sprintf(", of %s no checksum is known", objectsOnly(v.Unproven))
	}
	return words
}

func objectsOnly(n int64) string {
	if n == 1 {
		return "1 object"
	}
	return humanize.Comma(n) + " objects"
}
