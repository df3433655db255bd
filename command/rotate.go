package command

import (
	"context"
	"errors"
	"os"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/cgs3fs/cgs3fs/creds"
	"github.com/cgs3fs/cgs3fs/s3"
)

func rotateCommand() *cli.Command {
	return &cli.Command{
		Name:      "rotate",
		Usage:     "replace a service key by a new one",
		ArgsUsage: "SERVICE",
		Description: "Makes a new key, waits until S3 accepts it, moves the mounts of this machine to it, and\n" +
			"only then deletes the old one. A key that this program did not make for this host is only\n" +
			"replaced with --force, because somebody else may use it.",
		Flags: append([]cli.Flag{
			&cli.StringFlag{Name: "key", Usage: "the key `NAME` to replace; by default this host's, or the only one"},
			&cli.BoolFlag{Name: "force", Usage: "also replace a key that somebody else may use", DisableDefaultText: true},
			&cli.BoolFlag{Name: "dry-run", Usage: "only say what would be done", DisableDefaultText: true},
			jsonFlag(),
		}, spaceFlags()...),
		OnUsageError: usageError,
		BashComplete: completeServices,
		Action:       rotateAction,
	}
}

// rotated is what rotate did, for --json.
type rotated struct {
	Service string   `json:"service"`
	Old     string   `json:"old_key"`
	New     string   `json:"new_key"`
	Mounts  []string `json:"mounts"` // that were moved
	Deleted bool     `json:"old_key_deleted"`
	DryRun  bool     `json:"dry_run,omitempty"`
}

func rotateAction(c *cli.Context) error {
	if c.NArg() != 1 {
		return usagef("rotate which service?").try("cgs3fs services lists them")
	}
	r := creds.Request{
		Service: c.Args().First(), Key: c.String("key"), Org: c.String("org"), Space: c.String("space"),
		Getenv: os.Getenv, Log: notices(c),
		Progress: func(text string) { notef(c, "%s", text) },
	}
	r.HomeDir, _ = os.UserHomeDir()
	r.HostName, _ = os.Hostname()
	rot, err := creds.NewRotation(c.Context, r)
	if err != nil {
		return err
	}
	if !rot.Mine && !c.Bool("force") {
		return fail(exitRefused, "the key %s of %s was not made by cgs3fs on this host: whoever else uses it would lose access", rot.Old, r.Service).
			try("--force replaces it all the same; --create-key on mount makes a key of this host's own")
	}
	out := rotated{Service: r.Service, Old: rot.Old, New: rot.New, Mounts: []string{}, DryRun: c.Bool("dry-run")}
	if !out.DryRun {
		if err := rotate(c, rot, &out); err != nil {
			return err
		}
	}
	return printRotated(c, out)
}

// rotate does the steps in the order in which nothing can be lost: until the
// last one the old key works.
func rotate(c *cli.Context, rot *creds.Rotation, out *rotated) error {
	undo := func(err error) error {
		// Also when the user interrupts: the new key is of no use to anybody.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(c.Context), time.Minute)
		defer cancel()
		if undoErr := rot.Undo(ctx); undoErr != nil {
			notef(c, "the new key %s could not be deleted again: %v", rot.New, undoErr)
		}
		return err
	}
	if err := rot.Make(c.Context); err != nil {
		return undo(err)
	}
	cfg, err := s3Config(c, rot.Binding, notices(c))
	if err != nil {
		return undo(err)
	}
	client, err := s3.Open(cfg)
	if err != nil {
		return undo(err)
	}
	defer client.CloseIdle()
	if err := awaitKey(c.Context, client.Check, sleep); err != nil {
		return undo(fail(statusOf(err), "S3 does not accept the new key; the old one stays: %w", err))
	}
	var stuck []string
	if out.Mounts, stuck, err = moveMounts(rot.Binding.Bucket, rot.OldID); err != nil {
		return undo(err)
	}
	if len(stuck) > 0 {
		return fail(exitPartly, "both keys stay, because %s did not take the new one", strings.Join(stuck, ", ")).
			try("mount it again, then delete the old key with cf delete-service-key %s %s", out.Service, rot.Old)
	}
	if err := rot.Finish(c.Context); err != nil {
		return fail(exitPartly, "the new key %s works, but the old one could not be deleted: %w", rot.New, err).
			try("cf delete-service-key %s %s", out.Service, rot.Old)
	}
	out.Deleted = true
	return nil
}

// keyTime is how long a new key may take until all of S3 knows it.
const keyTime = 60 * time.Second

// awaitKey repeats a check until S3 knows a key that was made just now. Until
// then it says that there is no such key, or that it may do nothing.
func awaitKey(ctx context.Context, check func(context.Context) error, sleep func(context.Context, time.Duration) error) error {
	for waited := time.Duration(0); ; waited += 2 * time.Second {
		err := check(ctx)
		unknown := errors.Is(err, s3.ErrCredentials) || errors.Is(err, s3.ErrDenied)
		if !unknown || waited >= keyTime {
			return err
		}
		if err := sleep(ctx, 2*time.Second); err != nil {
			return err
		}
	}
}

// moveMounts tells the mounts of a bucket to ask for their key again. stuck are
// those that use the old one still, or do not answer.
func moveMounts(bucket, oldID string) (moved, stuck []string, err error) {
	mounts, err := mountsAt("")
	if err != nil {
		return nil, nil, err
	}
	moved = []string{}
	for _, entry := range mounts {
		// By the name that mount gives: other mounts are not touched, for one
		// that hangs would keep us waiting.
		name, _, _ := strings.Cut(strings.TrimPrefix(entry.source, "s3://"), "/")
		if entry.kind != fuseType || name != bucket {
			continue
		}
		m := liveMount{entry.dir}
		s, err := within(answerTime, func() (status, error) {
			_ = m.reload() // what counts is the key that it uses then
			return m.status()
		})
		switch {
		case err != nil && isDead(m.dir):
			// it uses no key any more
		case err != nil || s.More.KeyID == oldID:
			stuck = append(stuck, m.dir)
		default:
			moved = append(moved, m.dir)
		}
	}
	return moved, stuck, nil
}

// answerTime is how long a mount may take to answer a command.
const answerTime = 30 * time.Second

func printRotated(c *cli.Context, out rotated) error {
	if c.Bool("json") {
		return printJSON(c.App.Writer, out)
	}
	if out.DryRun {
		notef(c, "would make the key %s of %s, move the mounts to it, and delete %s", out.New, out.Service, out.Old)
		return nil
	}
	for _, m := range out.Mounts {
		notef(c, "%s uses the new key", m)
	}
	notef(c, "%s has the key %s now; %s is deleted", out.Service, out.New, out.Old)
	return nil
}
