package command

import (
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/cgs3fs/cgs3fs/snapshot"
)

func pruneFlags() []cli.Flag {
	return []cli.Flag{
		&cli.IntFlag{Name: "keep-last", Usage: "keep the last `N`", DefaultText: "none"},
		&cli.IntFlag{Name: "keep-hourly", Usage: "keep the newest of each of the last `N` hours that have one", DefaultText: "none"},
		&cli.IntFlag{Name: "keep-daily", Usage: "likewise of `N` days, in UTC", DefaultText: "none"},
		&cli.IntFlag{Name: "keep-weekly", Usage: "likewise of `N` weeks", DefaultText: "none"},
		&cli.IntFlag{Name: "keep-monthly", Usage: "likewise of `N` months", DefaultText: "none"},
		&cli.IntFlag{Name: "keep-yearly", Usage: "likewise of `N` years", DefaultText: "none"},
		&cli.StringFlag{Name: "keep-within", Usage: "keep all that are not older than `AGE` before the newest, such as 30d"},
		&cli.StringSliceFlag{Name: "keep-tag", Usage: "keep all with the `TAG`"},
		&cli.BoolFlag{Name: "incomplete", Usage: "remove what interrupted runs left, too", DisableDefaultText: true},
		takeOverFlag(), dryRunFlag(), jsonFlag(),
	}
}

func snapshotPrune(c *cli.Context, open snapshotOpener) error {
	v := &values{c: c}
	o := snapshot.PruneOptions{
		Policy: snapshot.Policy{
			Last: v.keeps("keep-last"), Hourly: v.keeps("keep-hourly"), Daily: v.keeps("keep-daily"), Weekly: v.keeps("keep-weekly"),
			Monthly: v.keeps("keep-monthly"), Yearly: v.keeps("keep-yearly"),
			Within: v.age("keep-within"), Tags: v.words("keep-tag"),
		},
		Incomplete: c.Bool("incomplete"), DryRun: c.Bool("dry-run"), TakeOver: c.Bool("take-over"),
	}
	if v.err != nil {
		return v.err
	}
	if o.Policy.Empty() && !o.Incomplete {
		return usagef("no rule says what to keep").try("for example: cgs3fs snapshot prune --keep-daily 7 --keep-weekly 5 --keep-monthly 12 --dry-run")
	}
	s, err := openFor(c, open, 0, 0)
	if err != nil {
		return err
	}
	pruned, err := s.store.Prune(c.Context, o)
	if err != nil {
		return interruptedFailure(c, err, "the same command finishes what was begun")
	}
	return s.printPruned(c, o, pruned)
}

// prunedJSON is what prune prints.
type prunedJSON struct {
	DryRun    bool           `json:"dry_run,omitempty"`
	Decisions []decisionJSON `json:"decisions"`
	removedJSON
}

// removedJSON is what delete prints.
type removedJSON struct {
	Removed []snapshot.Removal `json:"removed"`
	Rehome  *snapshot.Cost     `json:"rehome,omitempty"` // in a dry run: of making others independent first
}

func removedOut(dryRun bool, r snapshot.Removals) removedJSON {
	out := removedJSON{Removed: append([]snapshot.Removal{}, r.Removed...)}
	if dryRun {
		out.Rehome = &r.Rehome
	}
	return out
}

type decisionJSON struct {
	ID      snapshot.ID `json:"id"`
	Keep    bool        `json:"keep"`
	Reasons []string    `json:"reasons,omitempty"`
}

func (s *snapshotSession) printPruned(c *cli.Context, o snapshot.PruneOptions, pruned *snapshot.Pruned) error {
	if c.Bool("json") {
		out := prunedJSON{o.DryRun, []decisionJSON{}, removedOut(o.DryRun, pruned.Removals)}
		for _, d := range pruned.Decisions {
			out.Decisions = append(out.Decisions, decisionJSON{d.ID, d.Keep(), d.Reasons})
		}
		return printJSON(s.out, out)
	}
	rows := [][]string{{"SNAPSHOT", "", "SIZE", "WHY"}}
	for _, d := range pruned.Decisions {
		verdict := "keep"
		if !d.Keep() {
			verdict = "remove"
		}
		rows = append(rows, []string{string(d.ID), verdict, objects(d.Objects, d.Bytes), strings.Join(d.Reasons, "; ")})
	}
	if len(rows) > 1 {
		if err := printTable(s.out, rows); err != nil {
			return err
		}
	}
	for _, info := range pruned.Incomplete {
		if !o.Incomplete {
			notef(c, "%s is incomplete and nobody is at it; --incomplete removes it", info.ID)
		}
	}
	return s.printRemovals(c, o.DryRun, pruned.Removals)
}

func (s *snapshotSession) printRemovals(c *cli.Context, dryRun bool, all snapshot.Removals) error {
	verb := "removed"
	if dryRun {
		verb = "would remove"
	}
	if len(all.Removed) == 0 {
		_, err := fmt.Fprintf(s.out, "%s nothing\n", verb)
		return err
	}
	for _, r := range all.Removed {
		if _, err := fmt.Fprintf(s.out, "%s %s: %s\n", verb, r.ID, objects(r.Objects, r.Bytes)); err != nil {
			return err
		}
		if r.Foreign > 0 {
			notef(c, "%s: %d objects were left, as somebody changed them since, such as %s", r.ID, r.Foreign, printable(r.Example))
		}
	}
	if !dryRun {
		return nil
	}
	cost := all.Rehome
	if cost.Copies > 0 {
		fmt.Fprintf(s.out, "would copy first what others link to: %s\n", objects(cost.Copies, cost.Bytes))
	}
	for _, r := range all.Removed {
		cost.Lists, cost.Reads, cost.Writes = cost.Lists+r.Cost.Lists, cost.Reads+r.Cost.Reads, cost.Writes+r.Cost.Writes
		cost.Deletes, cost.Dollars = cost.Deletes+r.Cost.Deletes, cost.Dollars+r.Cost.Dollars
	}
	_, err := fmt.Fprintf(s.out, "  %s\n", costText(cost))
	return err
}

func snapshotDelete(c *cli.Context, open snapshotOpener) error {
	s, err := openFor(c, open, 1, -1)
	if err != nil {
		return err
	}
	ids, err := s.anyIDs(c)
	if err != nil {
		return err
	}
	removed, err := s.store.Delete(c.Context, ids, snapshot.DeleteOptions{DryRun: c.Bool("dry-run"), TakeOver: c.Bool("take-over")})
	if err != nil {
		return err
	}
	if c.Bool("json") {
		return printJSON(s.out, removedOut(c.Bool("dry-run"), *removed))
	}
	return s.printRemovals(c, c.Bool("dry-run"), *removed)
}

// anyIDs resolves arguments that may also name incomplete snapshots.
func (s *snapshotSession) anyIDs(c *cli.Context) ([]snapshot.ID, error) {
	var ids []snapshot.ID
	for _, name := range c.Args().Slice() {
		id, err := snapshot.ParseID(name)
		if err != nil {
			id, err = s.oneID(c.Context, name)
		}
		if err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, nil
}

func snapshotPin(c *cli.Context, open snapshotOpener) error {
	s, err := openFor(c, open, 1, -1)
	if err != nil {
		return err
	}
	ids, err := s.namedIDs(c)
	if err != nil {
		return err
	}
	pin := c.Command.Name == "pin"
	if c.Bool("dry-run") {
		return s.printPins(c, ids, pin)
	}
	for _, id := range ids {
		if err := s.store.Pin(c.Context, id, pin); err != nil {
			return err
		}
	}
	return nil
}

// printPins tells what pin, or unpin, would do.
func (s *snapshotSession) printPins(c *cli.Context, ids []snapshot.ID, pin bool) error {
	var all snapshot.Cost
	for _, id := range ids {
		m, cost, err := s.store.PlanPin(c.Context, id, pin)
		if err != nil {
			return err
		}
		all.Reads, all.Writes, all.Dollars = all.Reads+cost.Reads, all.Writes+cost.Writes, all.Dollars+cost.Dollars
		would := "would " + c.Command.Name + " " + string(id)
		switch {
		case m.Pinned == pin && pin:
			would = string(id) + " is pinned already"
		case m.Pinned == pin:
			would = string(id) + " is not pinned"
		}
		fmt.Fprintf(s.out, "%s: %s\n", would, objects(m.Objects, m.Bytes))
	}
	_, err := fmt.Fprintf(s.out, "  %s\n", costText(all))
	return err
}

func snapshotMaterialize(c *cli.Context, open snapshotOpener) error {
	s, err := openFor(c, open, 1, 1)
	if err != nil {
		return err
	}
	id, err := s.oneID(c.Context, c.Args().First())
	if err != nil {
		return err
	}
	cost, err := s.store.PlanMaterialize(c.Context, id)
	if err != nil {
		return err
	}
	if !c.Bool("dry-run") {
		err = s.store.Materialize(c.Context, id)
	}
	switch {
	case err != nil:
		return interruptedFailure(c, err, "the same command goes on where this run ended")
	case c.Bool("json"):
		return printJSON(s.out, materializedJSON{id, c.Bool("dry-run"), cost})
	case c.Bool("dry-run"):
		_, err = fmt.Fprintf(s.out, "would copy %s into %s\n  %s\n", objects(cost.Copies, cost.Bytes), id, costText(cost))
	default:
		_, err = fmt.Fprintf(s.out, "%s has a copy of its own of every object\n", id)
	}
	return err
}

// materializedJSON is what materialize prints.
type materializedJSON struct {
	ID     snapshot.ID `json:"id"`
	DryRun bool        `json:"dry_run,omitempty"`
	snapshot.Cost
}
