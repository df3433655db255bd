// Package command is the command line: flags become configs, configs become
// joined packages, results are printed. Each command has a file of its own.
//
// Results go to standard output. Everything else goes to standard error, as
// "cgs3fs: " and lower case, with a second line where the user can do something
// about it. Exit statuses are one table, in exit.go.
package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"

	"github.com/urfave/cli/v2"
)

// Run runs the program with os.Args and returns its exit status.
func Run(args []string) int {
	if filepath.Base(args[0]) == "mount.cgs3fs" {
		return runMountHelper(args)
	}
	ctx, stop := interruptible()
	defer stop()
	app := newApp()
	if completing(args) {
		app.UseShortOptionHandling = false // with it the library stumbles over half a flag
	} else {
		args = flagsFirst(app, helpOnly(app, helpAsked(args)))
	}
	err := app.RunContext(ctx, args)
	return report(os.Stderr, ctx, err)
}

// helpAsked lets "help COMMAND" ask for help, as with git and cf.
func helpAsked(args []string) []string {
	if len(args) < 2 || args[1] != "help" {
		return args
	}
	return slices.Concat(args[:1], args[2:], []string{"--help"})
}

// completing tells whether it is a shell that asks, for what may come next.
func completing(args []string) bool {
	return args[len(args)-1] == "--generate-bash-completion"
}

// interrupted is why the context of a command ended: a signal.
type interrupted struct{ signal syscall.Signal }

func (i interrupted) Error() string { return "interrupted" }

// interruptible is a context that ends at SIGINT and SIGTERM. A second signal
// ends the program as if nobody caught it.
func interruptible() (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	go func() {
		s, ok := <-signals
		signal.Stop(signals)
		if ok {
			cancel(interrupted{s.(syscall.Signal)})
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		cancel(nil)
	}
}

// report prints what a command returned and finds its exit status.
func report(w io.Writer, ctx context.Context, err error) int {
	if err == nil {
		return exitOK
	}
	if errors.Is(err, errSaid) {
		return statusOf(err)
	}
	var i interrupted
	if errors.As(context.Cause(ctx), &i) {
		fmt.Fprintln(w, "cgs3fs: interrupted")
		if hint := hintOf(err); hint != "" {
			fmt.Fprintln(w, "  "+hint)
		}
		return 128 + int(i.signal)
	}
	printError(w, err)
	return statusOf(err)
}

// printError prints one error as one line, and a hint if there is one.
func printError(w io.Writer, err error) {
	fmt.Fprintln(w, "cgs3fs: "+oneLine(err.Error()))
	if hint := hintOf(err); hint != "" {
		fmt.Fprintln(w, "  "+oneLine(hint))
	}
}

func newApp() *cli.App {
	cli.VersionFlag = &cli.BoolFlag{Name: "version", Usage: "print the version", DisableDefaultText: true}
	return &cli.App{
		Name:                   "cgs3fs",
		Usage:                  "a Cloud Foundry S3 bucket as a directory, with CORS rules and dated copies",
		Version:                version(),
		HideHelpCommand:        true,
		EnableBashCompletion:   true,
		Suggest:                true,
		UseShortOptionHandling: true,
		// A comma may be part of a mount option's value and of a key: who wants lists splits them.
		DisableSliceFlagSeparator: true,
		ExitErrHandler:            func(*cli.Context, error) {},
		OnUsageError:              usageError,
		CommandNotFound:           nil,
		Action:                    noCommand,
		Commands:                  commands(),
	}
}

func commands() []*cli.Command {
	all := []*cli.Command{
		mountCommand(),
		umountCommand(),
		syncCommand(),
		statusCommand(),
		recoverCommand(),
		envCommand(),
		servicesCommand(),
		rotateCommand(),
		corsCommand(),
		snapshotCommand(),
		doctorCommand(),
		versionCommand(),
		completionCommand(),
		manCommand(),
	}
	noHelpCommand(all)
	return all
}

// noHelpCommand keeps the library from taking an argument "h" or "help" for a
// command of its own.
func noHelpCommand(all []*cli.Command) {
	for _, c := range all {
		c.HideHelpCommand = true
		noHelpCommand(c.Subcommands)
	}
}

// noCommand runs when the first word is no command.
func noCommand(c *cli.Context) error {
	if c.NArg() == 0 {
		return cli.ShowAppHelp(c)
	}
	return usagef("there is no command %q", c.Args().First()).try("cgs3fs --help lists them")
}

// badValue is how the library says that a flag's value is no number.
var badValue = regexp.MustCompile(`^invalid value (".*") for flag -(\S+): parse error$`)

// usageError is an error in the flags; the library has its own words for them.
func usageError(c *cli.Context, err error, _ bool) error {
	name := "cgs3fs"
	if c.Command != nil && c.Command.HelpName != "" {
		name = c.Command.HelpName // with its parents
	}
	option, unknown := strings.CutPrefix(err.Error(), "flag provided but not defined: -")
	if m := badValue.FindStringSubmatch(err.Error()); m != nil {
		return usagef("--%s %s is not understood", m[2], m[1]).try("%s --help tells what it takes", name)
	}
	if !unknown {
		return usagef("%w", err).try("%s --help lists the options", name)
	}
	if len(option) == 1 {
		return usagef("there is no option -%s", option).try("%s --help lists the options", name)
	}
	e := usagef("there is no option --%s", option)
	if near := nearest(option, c.Command.Flags); near != "" {
		return e.try("do you mean --%s? %s --help lists them", near, name)
	}
	return e.try("%s --help lists them", name)
}

func usagef(format string, args ...any) *exitError { return fail(exitUsage, format, args...) }

// noArguments refuses what a command has no use for.
func noArguments(c *cli.Context) error {
	if c.NArg() > 0 {
		return usagef("%q: this command takes no arguments", c.Args().First())
	}
	return nil
}
