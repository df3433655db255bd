package command

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/cgs3fs/cgs3fs/s3"
)

// corsSession is what the cors commands work with: one bucket, a place to keep
// its earlier rules, and the person in front of it.
type corsSession struct {
	bucket  string // as told to people
	rules   s3.CORS
	history corsHistory

	// For cors test: the address a browser would use for a key, what asks it,
	// and what signs a GET, as a signed URL is for pages that read private
	// objects.
	objectURL func(key string) *url.URL
	client    *http.Client
	sign      func(*http.Request) error

	out, err io.Writer
	ask      func(question string) (bool, error) // nil where nobody can be asked
	now      func() time.Time
	sleep    func(context.Context, time.Duration) error
}

// confirm asks whether to go on.
func (s *corsSession) confirm() error {
	if s.ask == nil {
		return usagef("nobody is there to confirm the change").
			try("add --yes to make it, or --dry-run to look only")
	}
	yes, err := s.ask("change the rules?")
	if err != nil {
		return err
	}
	if !yes {
		return fail(exitRefused, "nothing was changed")
	}
	return nil
}

// corsOpener finds the bucket that the flags of a command mean.
type corsOpener func(*cli.Context) (*corsSession, error)

// corsCommandWith is the cors command over any opener. source are the flags
// that name the bucket.
func corsCommandWith(open corsOpener, source []cli.Flag) *cli.Command {
	all := append(corsLooks(), corsChanges()...)
	c := &cli.Command{
		Name:  "cors",
		Usage: "let web pages of other sites use the bucket",
		Description: "A browser lets a page of another site read from the bucket, or write to it, only if the\n" +
			"bucket's CORS rules name that site. The rules restrain browsers alone: they are no access\n" +
			"control, and give nobody rights that their credentials or signed URLs don't.",
		Action: func(c *cli.Context) error {
			if c.NArg() == 0 {
				return cli.ShowSubcommandHelp(c)
			}
			return usagef("there is no command \"cors %s\"", c.Args().First()).try("cgs3fs cors --help lists them")
		},
	}
	for _, each := range all {
		// What a command's arguments say is checked before the bucket is looked for.
		each.command.Action = func(c *cli.Context) error { return each.run(c, open) }
		each.command.Flags = append(each.command.Flags, source...)
		c.Subcommands = append(c.Subcommands, &each.command)
	}
	return plainErrors(c)
}

// corsSubcommand is a command that lacks its action and the flags that name the
// bucket.
type corsSubcommand struct {
	command cli.Command
	run     func(*cli.Context, corsOpener) error
}

// corsLooks change nothing.
func corsLooks() []corsSubcommand {
	return []corsSubcommand{
		{cli.Command{
			Name: "show", Usage: "print the rules",
			Flags: []cli.Flag{&cli.BoolFlag{Name: "json", Usage: "print what \"aws s3api get-bucket-cors\" prints", DisableDefaultText: true}},
		}, corsShow},
		{cli.Command{
			Name: "test", Usage: "tell whether a page of a site may do something, and why",
			Description: "Answers by the rules, and by asking the server as a browser would. Exit status 0: allowed;\n" +
				"1: refused; 7: the server's answer isn't the rules'.",
			Flags: testFlags(),
		}, corsTest},
	}
}

func corsChanges() []corsSubcommand {
	return []corsSubcommand{
		{cli.Command{
			Name: "allow", Usage: "let sites use the bucket", ArgsUsage: "ORIGIN...",
			Description: "An ORIGIN is what the browser's address bar shows up to the first slash, such as\n" +
				"https://app.example.gov. Without --method, pages of the site may only read. Rules for other\n" +
				"sites are left as they are.",
			Flags: append(allowFlags(), changeFlags()...),
		}, corsAllow},
		{cli.Command{
			Name: "deny", Usage: "take sites out of the rules", ArgsUsage: "ORIGIN...",
			Flags: changeFlags(),
		}, corsDeny},
		{cli.Command{
			Name: "apply", Usage: "replace the rules by those of a file", ArgsUsage: "FILE|-",
			Description: "FILE is the document that \"aws s3api put-bucket-cors\" takes, in JSON or YAML; - is the\n" +
				"standard input.",
			Flags: changeFlags(),
		}, corsApply},
		{cli.Command{
			Name: "clear", Usage: "remove all rules",
			Flags: changeFlags(),
		}, corsClear},
		{cli.Command{
			Name: "undo", Usage: "put the rules back as they were before the last change made here",
			Description: "Every change keeps the rules as they were in $XDG_STATE_HOME/cgs3fs/cors. Undo again to go\n" +
				"further back.",
			Flags: append(changeFlags(), &cli.BoolFlag{
				Name: "force", Usage: "also if somebody else has changed the rules since", DisableDefaultText: true,
			}),
		}, corsUndo},
	}
}

// plainErrors makes c and its subcommands tell wrong flags as one line, and take
// "help" for an argument like any other.
func plainErrors(c *cli.Command) *cli.Command {
	for _, each := range append([]*cli.Command{c}, c.Subcommands...) {
		each.OnUsageError, each.HideHelpCommand = usageError, true
	}
	return c
}

func changeFlags() []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Name: "yes", Aliases: []string{"y"}, Usage: "don't ask", DisableDefaultText: true},
		&cli.BoolFlag{Name: "dry-run", Aliases: []string{"n"}, Usage: "show what would change, and change nothing", DisableDefaultText: true},
	}
}

func consentOf(c *cli.Context) corsConsent {
	return corsConsent{dryRun: c.Bool("dry-run"), yes: c.Bool("yes")}
}

func someOrigins(c *cli.Context) ([]string, error) {
	if !c.Args().Present() {
		return nil, usagef("which site to %s?", c.Command.Name).
			try("cgs3fs cors %s https://app.example.gov", c.Command.Name)
	}
	return c.Args().Slice(), nil
}
