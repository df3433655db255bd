package command

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/cgs3fs/cgs3fs/fs"
	"github.com/cgs3fs/cgs3fs/s3"
)

func mountCommand() *cli.Command {
	return &cli.Command{
		Name:      "mount",
		Usage:     "present a bucket as a directory",
		ArgsUsage: "[SERVICE | s3://BUCKET[/PREFIX/]] DIR",
		Description: "With only a directory, the bucket is the one that the environment or the targeted\n" +
			"Cloud Foundry space has. The command returns when the directory can be used.",
		Flags:        mountFlags(),
		OnUsageError: usageError,
		BashComplete: completeServices,
		Action:       mountAction,
	}
}

func mountFlags() []cli.Flag {
	flags := []cli.Flag{
		&cli.BoolFlag{Name: "foreground", Aliases: []string{"f"}, Usage: "stay in the foreground, and log to standard error", DisableDefaultText: true},
		&cli.StringSliceFlag{Name: "o", Usage: "mount options, `OPT,OPT=VALUE`: any flag of this command, and mount(8)'s", KeepSpace: true},
		&cli.BoolFlag{Name: "read-only", Usage: "refuse every change", DisableDefaultText: true},
		&cli.BoolFlag{Name: "allow-other", Usage: "let other users in", DisableDefaultText: true},
		&cli.IntFlag{Name: "uid", Usage: "owner of the files", DefaultText: "yours", Value: -1},
		&cli.IntFlag{Name: "gid", Usage: "group of the files", DefaultText: "yours", Value: -1},
		&cli.StringFlag{Name: "file-mode", Usage: "permissions of files", Value: "0644"},
		&cli.StringFlag{Name: "dir-mode", Usage: "permissions of directories", Value: "0755"},
		&cli.BoolFlag{Name: "posix-metadata", Usage: "read owner, mode and mtime back from the objects' metadata (one more request for each)", DisableDefaultText: true},
		&cli.StringFlag{Name: "metadata-ttl", Usage: "how old names and sizes in listings may be: seconds, 1m, \"minimal\" or \"indefinite\"", Value: "5s"},
		&cli.BoolFlag{Name: "read-ahead-files", Usage: "fetch the small files of a directory ahead of a program that reads one after another; what it reads may be a second old", DisableDefaultText: true},
		&cli.BoolFlag{Name: "exclusive-at-open", Usage: "decide O_EXCL at open, for lock files shared by several hosts (one more request for each)", DisableDefaultText: true},
		&cli.StringFlag{Name: "memory-limit", Usage: "memory for everything, such as 256M", DefaultText: "256M, or half of the container's"},
		&cli.StringFlag{Name: "cache", Usage: "keep what was read in `DIR`, also across mounts"},
		&cli.StringFlag{Name: "max-cache-size", Usage: "how much of it", Value: "10G"},
		&cli.StringFlag{Name: "stage-dir", Usage: "keep edits on their way to the bucket in `DIR`"},
		&cli.StringFlag{Name: "part-size", Usage: "first part size of large uploads", Value: "8M"},
		&cli.BoolFlag{Name: "noexec", Usage: "let no program be started from there", DisableDefaultText: true},
		&cli.BoolFlag{Name: "nonempty", Usage: "mount over a directory that is not empty", Hidden: true},
	}
	return append(append(flags, logFlags()...), sourceFlags()...)
}

// mountPlan is everything a mount needs to know, checked.
type mountPlan struct {
	source   string // positional; may be empty
	at       string
	nonEmpty bool
	fs       fs.Config
	memory   budgets
	cacheDir string
	cacheMax int64
	stage    string
	part     int64
}

func mountAction(c *cli.Context) error {
	if err := applyOptions(c); err != nil {
		return err
	}
	p, err := planMount(c)
	if err != nil {
		return err
	}
	if !c.Bool("foreground") && !isDaemon() {
		status, err := background(c.App.Writer)
		if err == nil && status != exitOK {
			err = &exitError{status: status, err: errSaid}
		}
		return err
	}
	guardSecrets()
	return p.run(c)
}

// negativeTTL is how long a name that was not there is taken to be still
// missing: short, because programs wait for files of others by looking again.
const negativeTTL = time.Second

// errSaid is an error that was printed already, such as by the process in the
// background.
var errSaid = errors.New("")

func planMount(c *cli.Context) (*mountPlan, error) {
	p := &mountPlan{nonEmpty: c.Bool("nonempty")}
	switch c.NArg() {
	case 0:
		return nil, usagef("mount where?").try("cgs3fs mount ./bucket")
	case 1:
		p.at = c.Args().First()
	case 2:
		p.source, p.at = c.Args().Get(0), c.Args().Get(1)
	default:
		return nil, usagef("mount takes a source and a directory, not %q too", c.Args().Get(2)).try("options go before them")
	}
	if slices.Contains(c.Args().Slice(), "") {
		return nil, usagef("an argument is empty").try(unsetVariable)
	}
	if strings.HasPrefix(p.at, "s3://") {
		return nil, usagef("%s is a bucket: the directory is missing", p.at).try("cgs3fs mount %s ./bucket", p.at)
	}
	var err error
	v := values{c: c}
	p.fs = fs.Config{
		UID: v.id("uid", os.Geteuid()), GID: v.id("gid", os.Getegid()),
		FileMode: v.mode("file-mode"), DirMode: v.mode("dir-mode"),
		ReadOnly: c.Bool("read-only"), AllowOther: c.Bool("allow-other"),
		Posix: c.Bool("posix-metadata"), TTL: v.ttl("metadata-ttl"), ExclusiveAtOpen: c.Bool("exclusive-at-open"),
		ReadAheadFiles: c.Bool("read-ahead-files"),
	}
	if c.Bool("noexec") {
		p.fs.Options = append(p.fs.Options, "noexec")
	}
	p.fs.NegativeTTL = min(p.fs.TTL, negativeTTL)
	p.memory = divide(memoryLimit(v.size("memory-limit")))
	p.fs.NamesMemory = p.memory.names
	p.cacheMax, p.part = v.size("max-cache-size"), v.size("part-size")
	if v.err != nil {
		return nil, v.err
	}
	if p.part < s3.MinPartSize || p.part > s3.MaxPartSize {
		return nil, usagef("--part-size must be between 5M and 5G")
	}
	if dir := c.String("cache"); dir != "" {
		if p.cacheDir, err = filepath.Abs(dir); err != nil {
			return nil, err
		}
	}
	p.stage = c.String("stage-dir")
	return p, nil
}

// run mounts, and returns when the mount is over. Every check that can fail
// comes before the terminal is given up.
func (p *mountPlan) run(c *cli.Context) error {
	if err := checkFUSE(p.fs.AllowOther); err != nil {
		return err
	}
	m, err := prepareMountpoint(p.at, p.nonEmpty)
	if err != nil {
		return err
	}
	defer m.remove()
	sink := &logSink{w: c.App.ErrWriter}
	log, err := newLogger(c, sink)
	if err != nil {
		return err
	}
	if err := p.chooseLog(c, sink); err != nil {
		return err
	}
	if isDaemon() {
		sink.detach()
		log = alsoTold(c, log)
	}
	b, err := openBucket(c, p.source, log)
	if err != nil {
		return err
	}
	p.memory.apply()
	e, err := p.assemble(c, b, log)
	if err != nil {
		return err
	}
	defer e.close()
	mounted, err := fs.Mount(e.fs, m.dir)
	if err != nil {
		return fail(exitFailed, "%w", err)
	}
	text := p.welcome(b, m)
	if isDaemon() {
		if err := detachFromTerminal(text); err != nil {
			return errors.Join(err, mounted.Unmount())
		}
	} else {
		fmt.Fprintln(c.App.Writer, text)
		sink.detach()
	}
	log.Info("mounted", "bucket", b.binding.Bucket, "source", b.binding.Source, "at", m.dir, "version", version())
	go e.cleanUploads(c.Context)
	return p.serve(c, e, mounted, m, log)
}

// alsoTold is the log of a mount in the background, which is a file: as long as
// the terminal is the caller's, the caller is told of warnings as well.
func alsoTold(c *cli.Context, log *slog.Logger) *slog.Logger {
	return slog.New(slog.NewMultiHandler(notices(c).Handler(), log.Handler()))
}

// welcome says which bucket is mounted, where it was found, and how it ends.
func (p *mountPlan) welcome(b *opened, m mountpoint) string {
	text := oneLine(fmt.Sprintf("%s is mounted at %s (%s)", p.name(b), m.dir, b.binding.Source))
	if m.made {
		text += "\nthe directory was made for it, and goes again at unmount"
	}
	return text + "\nunmount: cgs3fs umount " + shellWord(p.at)
}

func (p *mountPlan) name(b *opened) string {
	return "s3://" + b.binding.Bucket + "/" + b.binding.Prefix
}
