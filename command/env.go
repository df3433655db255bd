package command

import (
	"fmt"
	"os"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/cgs3fs/cgs3fs/creds"
)

func envCommand() *cli.Command {
	return &cli.Command{
		Name:      "env",
		Usage:     "print the bucket and its key for other programs",
		ArgsUsage: "[SERVICE | s3://BUCKET]",
		Description: "eval \"$(cgs3fs env)\" sets AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, BUCKET_NAME and the\n" +
			"rest for the aws command line and the SDKs. The output holds the secret: don't leave it in a\n" +
			"file that others can read.",
		Flags: append([]cli.Flag{
			&cli.StringFlag{Name: "format", Usage: "`FORMAT`: " + formatNames(), Value: string(creds.Shell)},
			jsonFlag(),
		}, sourceFlags()...),
		OnUsageError: usageError,
		BashComplete: completeServices,
		Action:       envAction,
	}
}

func formatNames() string {
	var names []string
	for _, f := range creds.Formats() {
		names = append(names, string(f))
	}
	return strings.Join(names, ", ")
}

func envAction(c *cli.Context) error {
	if c.NArg() > 1 {
		return usagef("%q: env takes one source", c.Args().Get(1))
	}
	format := creds.Format(c.String("format"))
	if c.Bool("json") {
		if c.IsSet("format") && format != creds.JSON {
			return usagef("--json and --format %s contradict each other", format)
		}
		format = creds.JSON
	}
	r, err := requestOf(c, c.Args().First(), notices(c))
	if err != nil {
		return err
	}
	b, err := creds.Find(c.Context, r)
	if err != nil {
		return err
	}
	text, err := b.Export(c.Context, format)
	if err != nil {
		return err
	}
	if format == creds.Shell && c.App.Writer == os.Stdout && isTerminal(os.Stdout) {
		notef(c, `to set these in your shell: eval "$(cgs3fs env)"`)
	}
	_, err = fmt.Fprint(c.App.Writer, text)
	return err
}
