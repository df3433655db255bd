package command

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/urfave/cli/v2"

	"github.com/cgs3fs/cgs3fs/cache"
)

func statusCommand() *cli.Command {
	return &cli.Command{
		Name:         "status",
		Usage:        "show how a mount is, or list the mounts",
		ArgsUsage:    "[DIR]",
		Flags:        []cli.Flag{jsonFlag()},
		OnUsageError: usageError,
		Action:       statusAction,
	}
}

func statusAction(c *cli.Context) error {
	if c.NArg() == 0 {
		return listMounts(c)
	}
	m, err := oneMount(c)
	if err != nil {
		return err
	}
	s, err := m.status()
	if err != nil {
		return err
	}
	if c.Bool("json") {
		out, err := statusOut(m.dir, s)
		if err != nil {
			return m.strange(err)
		}
		return printJSON(c.App.Writer, out)
	}
	return printStatus(c, m, s)
}

func listMounts(c *cli.Context) error {
	mounts, err := liveMounts()
	if err != nil {
		return err
	}
	rows := []mountJSON{}
	for _, m := range mounts {
		r := mountJSON{Directory: m.dir, State: "ok"}
		if s, err := within(statTime, m.status); err != nil {
			r.State = silence(err)
		} else {
			r.Source, r.Unsaved = s.Source, len(s.Unsaved)
		}
		rows = append(rows, r)
	}
	if c.Bool("json") {
		return printJSON(c.App.Writer, rows)
	}
	if len(rows) == 0 {
		notef(c, "nothing is mounted")
		return nil
	}
	table := [][]string{{"DIRECTORY", "SOURCE", "UNSAVED", "STATE"}}
	for _, r := range rows {
		table = append(table, []string{r.Directory, r.Source, fmt.Sprint(r.Unsaved), r.State})
	}
	return printTable(c.App.Writer, table)
}

// silence is why a mount did not tell its status.
func silence(err error) string {
	switch {
	case errors.Is(err, errDied):
		return "its program has died"
	case errors.Is(err, context.DeadlineExceeded):
		return "does not answer"
	}
	return "does not answer: " + cause(err).Error()
}

func printStatus(c *cli.Context, m liveMount, s status) error {
	rows := [][]string{
		{"mounted at", m.dir},
		{"bucket", s.Source},
		{"credentials", s.More.Credentials},
		{"since", s.Began.Format(time.RFC3339)},
		{"process", fmt.Sprintf("%d, version %s", s.PID, s.More.Version)},
		{"open", fmt.Sprintf("%d files and directories", s.Open)},
		{"unsaved", "nothing"},
		{"memory", humanize.IBytes(uint64(s.More.Memory)) + " budget"},
		{"cache", cached(s.More.Cache)},
		{"recovery", s.Recovery},
	}
	if s.More.Endpoint != "" {
		rows = append(rows, []string{"endpoint", s.More.Endpoint})
	}
	if len(s.Unsaved) > 0 {
		rows[6][1] = left(s)
	}
	ops := make([]string, 0, len(s.More.Requests))
	for op := range s.More.Requests {
		ops = append(ops, op)
	}
	slices.Sort(ops)
	for _, op := range ops {
		n := s.More.Requests[op]
		text := fmt.Sprintf("%d, %s", n.Requests, humanize.IBytes(uint64(n.Bytes)))
		if n.Errors > 0 {
			text += fmt.Sprintf(", %d failed", n.Errors)
		}
		rows = append(rows, []string{"requests", op + " " + text})
	}
	for _, f := range s.Failures {
		rows = append(rows, []string{"failed", fmt.Sprintf("%s %s %s: %s", f.Time.Format(time.RFC3339), f.Op, f.Path, f.Cause)})
	}
	return printTable(c.App.Writer, rows)
}

// cached says what the cache of content holds, and how often it was of use.
func cached(s cache.BlocksStats) string {
	text := fmt.Sprintf("%s in memory, %d hits, %d misses", humanize.IBytes(uint64(s.MemoryBytes)), s.Hits, s.Misses)
	if d := s.Disk; d.Max > 0 {
		text += fmt.Sprintf("; %s of %s on disk, %d hits", humanize.IBytes(uint64(d.Bytes)), humanize.IBytes(uint64(d.Max)), d.Hits)
		if d.Aside {
			text += ", which can't be written now"
		}
	}
	return text
}
