package command

import (
	"strings"
	"testing"

	"github.com/urfave/cli/v2"
)

func TestFlagsMayFollowArguments(t *testing.T) {
	app := &cli.App{Commands: []*cli.Command{
		{
			Name: "mount", Aliases: []string{"m"},
			Flags: []cli.Flag{
				&cli.BoolFlag{Name: "foreground", Aliases: []string{"f"}},
				&cli.StringSliceFlag{Name: "options", Aliases: []string{"o"}},
			},
		},
		{
			Name: "cors",
			Subcommands: []*cli.Command{
				{Name: "allow", Flags: []cli.Flag{&cli.StringSliceFlag{Name: "method"}, &cli.BoolFlag{Name: "yes"}}},
			},
		},
	}}
	for _, c := range []struct{ in, want string }{
		{"", ""},
		{"mount dir", "mount -- dir"},
		{"mount dir -f", "mount -f -- dir"},
		{"m dir -o ro more", "m -o ro -- dir more"},
		{"mount dir -fo ro", "mount -fo ro -- dir"},
		{"mount dir --options=ro", "mount --options=ro -- dir"},
		{"mount dir -o=ro more", "mount -o=ro -- dir more"},
		{"mount -f dir -- -o ro", "mount -f -- dir -o ro"},
		{"mount dir --unknown x", "mount --unknown -- dir x"},
		{"mount dir -o", "mount -o -- dir"},
		{"mount - dir", "mount -- - dir"},
		{"cors allow https://a --method PUT https://b --yes", "cors allow --method PUT --yes -- https://a https://b"},
		{"cors --help", "cors --help"},
		{"unknown --yes x", "--yes -- unknown x"},
	} {
		got := flagsFirst(app, append([]string{"cgs3fs"}, strings.Fields(c.in)...))
		if strings.Join(got[1:], " ") != c.want {
			t.Errorf("%q: got %q, want %q", c.in, got[1:], c.want)
		}
	}
}

func TestHelpNeedsOnlyTheCommand(t *testing.T) {
	app := newApp()
	for _, c := range []struct{ in, want string }{
		{"mount dir", "mount dir"},
		{"mount dir --help", "mount --help"},
		{"mount -h s3://b dir", "mount --help"},
		{"mount --no-such-option dir --help", "mount --help"},
		{"mount --prefix --help dir", "mount --prefix --help dir"}, // a value
		{"mount -- --help", "mount -- --help"},                     // a directory
		{"cors allow https://a --help", "cors allow --help"},
		{"cors nosuch --help", "cors nosuch"},
		{"nosuch --help", "nosuch"},
		{"nosuch mount --help", "nosuch"},
		{"--help", "--help"},
		{"snapshot --help", "snapshot --help"},
	} {
		got := helpOnly(app, append([]string{"cgs3fs"}, strings.Fields(c.in)...))
		if strings.Join(got[1:], " ") != c.want {
			t.Errorf("%q: got %q, want %q", c.in, got[1:], c.want)
		}
	}
}
