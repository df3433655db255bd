package command

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// Mount options of mount(8) and fstab that mean nothing here, or are so anyway.
var ignoredOptions = []string{
	"auto", "noauto", "user", "nouser", "users", "owner", "_netdev", "nofail", "rw", "defaults", "nosuid", "nodev",
	"exec", "suid", "nodiratime", "strictatime", "lazytime", "dirsync", "group", "dev", "relatime", "atime", "noatime", "sync", "async",
}

// applyOptions sets the flags that -o names: "ro" and "allow_other" as mount
// says them, and every flag of the command with _ or - alike.
func applyOptions(c *cli.Context) error {
	for _, list := range c.StringSlice("o") {
		for _, option := range splitOptions(list) {
			if err := applyOption(c, option); err != nil {
				return err
			}
		}
	}
	return nil
}

func applyOption(c *cli.Context, option string) error {
	name, value, hasValue := strings.Cut(option, "=")
	if name == "" || slices.Contains(ignoredOptions, name) || strings.HasPrefix(name, "x-") || name == "comment" {
		return nil
	}
	name = strings.ReplaceAll(name, "_", "-")
	if name == "ro" {
		name = "read-only"
	}
	for _, f := range c.Command.Flags {
		if !slices.Contains(f.Names(), name) || name == "o" {
			continue
		}
		if _, isBool := f.(*cli.BoolFlag); isBool && !hasValue {
			value = "true"
		} else if !isBool && !hasValue {
			return usagef("-o %s needs a value", option).try("-o %s=VALUE", name)
		}
		if err := c.Set(name, value); err != nil {
			return usagef("-o %s is not understood", option)
		}
		return nil
	}
	e := usagef("there is no mount option %q", option)
	if near := nearest(name, c.Command.Flags); near != "" {
		return e.try("do you mean %s?", near)
	}
	return e.try("cgs3fs mount --help lists them")
}

// nearest is the flag that a mistyped name most likely means, if any. The library
// always finds one; one that does not even begin alike is no help.
func nearest(typed string, flags []cli.Flag) string {
	near := cli.SuggestFlag
	if near == nil || typed == "" {
		return ""
	}
	name := strings.TrimLeft(near(flags, typed, true), "-")
	if name == "" || name[0] != typed[0] {
		return ""
	}
	return name
}

// splitOptions cuts at commas; a backslash takes the next byte as it is.
func splitOptions(s string) []string {
	var out []string
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s):
			i++
			b.WriteByte(s[i])
		case s[i] == ',':
			out = append(out, b.String())
			b.Reset()
		default:
			b.WriteByte(s[i])
		}
	}
	return append(out, b.String())
}

// Exit statuses that mount(8) knows of its helpers.
const (
	helperUsage  = 1
	helperSystem = 2
	helperFailed = 32
)

// runMountHelper is the program under the name mount.cgs3fs, as mount(8) runs
// it for a line of fstab: mount.cgs3fs SOURCE DIR [-sfnv] [-N ns] [-o OPTS] [-t TYPE].
func runMountHelper(args []string) int {
	mountArgs, fake, err := helperArgs(args[1:])
	if err != nil {
		printError(os.Stderr, err)
		return helperUsage
	}
	if fake {
		return 0
	}
	ctx, stop := interruptible()
	defer stop()
	app := newApp()
	app.Name = filepath.Base(args[0])
	status := report(os.Stderr, ctx, app.RunContext(ctx, append([]string{"cgs3fs", "mount"}, mountArgs...)))
	switch status {
	case exitOK:
		return 0
	case exitUsage:
		return helperUsage
	case exitFailed:
		return helperSystem
	}
	return helperFailed
}

func helperArgs(args []string) (out []string, fake bool, err error) {
	var names []string
	for i := 0; i < len(args); i++ {
		a := args[i]
		switch {
		case a == "-o" && i+1 < len(args):
			i++
			out = append(out, "-o", args[i])
		case (a == "-t" || a == "-N") && i+1 < len(args):
			i++
		case strings.HasPrefix(a, "-"):
			if rest := strings.Trim(a[1:], "sfnv"); rest != "" {
				return nil, false, fmt.Errorf("option %s is not one of mount's", a)
			}
			fake = fake || strings.Contains(a, "f")
		default:
			names = append(names, a)
		}
	}
	if len(names) != 2 {
		return nil, false, fmt.Errorf("mount.cgs3fs wants a source and a directory")
	}
	if names[0] == "none" || names[0] == "cgs3fs" {
		names = names[1:]
	}
	return append(out, names...), fake, nil
}
