package command

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/urfave/cli/v2"
)

func umountCommand() *cli.Command {
	return &cli.Command{
		Name:      "umount",
		Aliases:   []string{"unmount"},
		Usage:     "save what is unsaved, and end a mount",
		ArgsUsage: "DIR",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "force", Usage: "unmount also with unsaved data, which goes to the recovery directory", DisableDefaultText: true},
			&cli.BoolFlag{Name: "lazy", Usage: "detach also while programs use it", DisableDefaultText: true},
			&cli.StringFlag{Name: "timeout", Usage: "how long to wait for uploads; 0 is until they are done", Value: "0"},
		},
		OnUsageError: usageError,
		Action:       umountAction,
	}
}

func syncCommand() *cli.Command {
	return &cli.Command{
		Name:      "sync",
		Usage:     "return when everything written to a mount is in the bucket",
		ArgsUsage: "DIR",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "timeout", Usage: "how long to wait; 0 is until it is done", Value: "0"},
		},
		OnUsageError: usageError,
		Action: func(c *cli.Context) error {
			m, err := oneMount(c)
			if err != nil {
				return err
			}
			return saveAll(c, m)
		},
	}
}

func oneMount(c *cli.Context) (liveMount, error) {
	if c.NArg() != 1 {
		return liveMount{}, usagef("name one directory").try("cgs3fs %s ./bucket", c.Command.Name)
	}
	return mountAt(c.Args().First())
}

func umountAction(c *cli.Context) error {
	if c.NArg() == 1 {
		if done, err := umountDead(c); done || err != nil {
			return err
		}
	}
	m, err := oneMount(c)
	if err != nil {
		return err
	}
	s, err := m.status()
	if err != nil {
		return err
	}
	unsaved := saveAll(c, m)
	if unsaved != nil && !c.Bool("force") {
		return unsaved
	}
	undo := unmount
	if c.Bool("lazy") || c.Bool("force") {
		undo = detach
	}
	if err := undo(m.dir); errors.Is(err, syscall.EBUSY) {
		return inUse(m)
	} else if err != nil {
		return fail(exitFailed, "unmounting %s: %w", m.dir, err)
	}
	if !hasEnded(c.Context, s.PID) && unsaved != nil {
		return fail(exitUnsaved, "%s is detached, but programs still have files of it open, and process %d goes on for them: %w", m.dir, s.PID, unsaved).
			try("what can't be saved when they close them goes to %s", s.Recovery)
	}
	return keptError(c, s)
}

// keptError names what a mount could not save while it lived: its programs were
// told, and the data is on this machine.
func keptError(c *cli.Context, s status) error {
	files, err := keptIn(s.Recovery, func(f string, a ...any) { notef(c, f, a...) })
	if err != nil {
		return err
	}
	var names []string
	for _, k := range files {
		if k.rescue.Source == s.Source && !k.When.Before(s.Began) {
			names = append(names, k.rescue.Path)
		}
	}
	if len(names) == 0 {
		return nil
	}
	return fail(exitUnsaved, "%s unmounted, but %s could not be saved: %s; kept in %s",
		s.Source, filesOf(len(names)), strings.Join(names, ", "), s.Recovery).try("cgs3fs recover lists them")
}

// umountDead clears a mount whose program died.
func umountDead(c *cli.Context) (done bool, err error) {
	dir, err := mountpointPath(c.Args().First())
	if err != nil || !isDead(dir) {
		return false, err
	}
	if err := healDead(dir); err != nil {
		return false, err
	}
	notef(c, "the program behind %s had died; what close had acknowledged is in the bucket", dir)
	return true, nil
}

// endWait is how long a mount may take to end after it was detached: it has
// nothing left to save.
const endWait = 10 * time.Second

// hasEnded waits until the mount's process is gone, so that who comes next finds the
// directory as it was. It is not where, after --lazy or --force, somebody still uses it.
func hasEnded(ctx context.Context, pid int) bool {
	ctx, cancel := context.WithTimeout(ctx, endWait)
	defer cancel()
	for {
		if err := syscall.Kill(pid, 0); errors.Is(err, syscall.ESRCH) {
			return true
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return false
		}
	}
}

// forceWait is how long --force waits for uploads if --timeout does not say.
const forceWait = 10 * time.Second

// sayEvery is how often a person who waits hears how much is left, and why.
const sayEvery = 3 * time.Second

// saveAll waits until the mount has saved everything, and says meanwhile how
// much is left and what stands in the way.
func saveAll(c *cli.Context, m liveMount) error {
	v := values{c: c}
	limit := v.ttl("timeout")
	if v.err != nil {
		return v.err
	}
	if limit == 0 && c.Bool("force") {
		limit = forceWait
	}
	var expired <-chan time.Time
	if limit > 0 {
		expired = time.After(limit)
	}
	saved := make(chan error, 1)
	go func() { saved <- m.sync() }()
	tick := time.NewTicker(sayEvery)
	defer tick.Stop()
	for {
		select {
		case err := <-saved:
			if err != nil {
				return m.unsavedError(err)
			}
			return nil
		case <-tick.C:
			if s, err := m.status(); err != nil {
				notef(c, "waiting: %v", err)
			} else {
				notef(c, "waiting: %s", left(s))
			}
		case <-expired:
			return m.unsavedError(errors.New("the time is up"))
		case <-c.Context.Done():
			return m.unsavedError(context.Cause(c.Context))
		}
	}
}

func (m liveMount) unsavedError(cause error) error {
	s, err := m.status()
	if err != nil {
		return errors.Join(cause, err)
	}
	return fail(exitUnsaved, "not everything is saved (%w): %s", cause, left(s)).
		try("the mount goes on; try again, or --force: what is unsaved then goes to %s", s.Recovery)
}

// left says how much is unsaved, and why: what keeps the save that is under way,
// and what the last one met. Where no content is, attributes are.
func left(s status) string {
	var bytes int64
	var names []string
	trouble := s.More.Trouble
	for _, u := range s.Unsaved {
		bytes += u.Size
		if len(names) < 5 {
			names = append(names, u.Path)
		}
		if u.Why != "" {
			trouble.Failed = u.Why
		}
	}
	text := "modes, times or owners of some files"
	if len(s.Unsaved) > 0 {
		text = fmt.Sprintf("%s, %s left: %s", filesOf(len(s.Unsaved)), humanize.IBytes(uint64(bytes)), strings.Join(names, ", "))
	}
	if len(s.Unsaved) > len(names) {
		text += ", …"
	}
	if trouble != (troubleReport{}) {
		text += fmt.Sprintf(" (%s)", trouble)
	}
	return text
}

// filesOf counts files in words.
func filesOf(n int) string {
	if n == 1 {
		return "1 file"
	}
	return fmt.Sprintf("%d files", n)
}
