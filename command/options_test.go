package command

import (
	"io"
	"testing"

	"github.com/urfave/cli/v2"
)

func TestOptionsOfMount(t *testing.T) {
	for _, row := range []struct {
		in           []string // after cgs3fs mount
		prefix, mode string
		readOnly     bool
	}{
		{[]string{"-o", "ro,prefix=a/,file_mode=0600"}, "a/", "0600", true},
		{[]string{"-o", "ro", "-o", "prefix=a/"}, "a/", "0644", true},
		{[]string{"-o", `prefix=a\,ro/,file-mode=0600`}, "a,ro/", "0600", false},
		{[]string{"-o", `prefix=a\\,ro`}, `a\`, "0644", true},
		{[]string{"-o", "prefix= a /"}, " a /", "0644", false},
	} {
		mount := mountCommand()
		mount.Action = func(c *cli.Context) error {
			if err := applyOptions(c); err != nil {
				return err
			}
			if c.String("prefix") != row.prefix || c.String("file-mode") != row.mode || c.Bool("read-only") != row.readOnly {
				t.Errorf("%q: prefix %q, file-mode %q, read-only %v", row.in, c.String("prefix"), c.String("file-mode"), c.Bool("read-only"))
			}
			return nil
		}
		app := newApp()
		app.Commands, app.ErrWriter = []*cli.Command{mount}, io.Discard
		if err := app.Run(append([]string{"cgs3fs", "mount"}, row.in...)); err != nil {
			t.Errorf("%q: %v", row.in, err)
		}
	}
}
