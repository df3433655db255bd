package command

import (
	"cmp"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// flagsFirst puts a command's flags before its other arguments, as the library
// wants them, so that "cors allow ORIGIN --method PUT" means what it says.
// Everything after "--" stays where it is. args begins with the program's name.
func flagsFirst(app *cli.App, args []string) []string {
	if len(args) == 0 {
		return args
	}
	at, flags := 1, app.Flags
	for commands := app.Commands; at < len(args); at++ {
		c := commandNamed(commands, args[at])
		if c == nil {
			break
		}
		commands, flags = c.Subcommands, c.Flags
	}
	var first, rest []string
	for i := at; i < len(args); i++ {
		arg := args[i]
		switch {
		case arg == "--":
			rest = append(rest, args[i+1:]...)
			i = len(args)
		case len(arg) < 2 || arg[0] != '-':
			rest = append(rest, arg)
		case takesNext(flags, arg) && i+1 < len(args):
			first = append(first, arg, args[i+1])
			i++
		default:
			first = append(first, arg)
		}
	}
	out := append(append([]string(nil), args[:at]...), first...)
	if len(rest) > 0 {
		out = append(append(out, "--"), rest...)
	}
	return out
}

// helpOnly leaves, of a line that asks for help, the command that it is about:
// the rest may be half written. A word that is no command stays, to be refused.
func helpOnly(app *cli.App, args []string) []string {
	if len(args) == 0 {
		return args
	}
	at, commands, flags := 1, app.Commands, app.Flags
	for ; at < len(args); at++ {
		c := commandNamed(commands, args[at])
		if c == nil {
			break
		}
		commands, flags = c.Subcommands, c.Flags
	}
	asked, word := false, ""
	for i := at; i < len(args) && args[i] != "--"; i++ {
		switch arg := args[i]; {
		case arg == "-h" || arg == "--help":
			asked = true
		case len(arg) < 2 || arg[0] != '-':
			word = cmp.Or(word, arg)
		case takesNext(flags, arg):
			i++
		}
	}
	switch {
	case !asked:
		return args
	case word != "" && len(commands) > 0:
		return append(slices.Clone(args[:at]), word)
	}
	return append(slices.Clone(args[:at]), "--help")
}

func commandNamed(commands []*cli.Command, name string) *cli.Command {
	for _, c := range commands {
		if c.HasName(name) {
			return c
		}
	}
	return nil
}

// takesNext tells whether the argument after arg is the value of a flag in arg.
// Of short flags written together, such as -fo, the last one may take a value.
func takesNext(flags []cli.Flag, arg string) bool {
	if strings.Contains(arg, "=") {
		return false
	}
	name := strings.TrimLeft(arg, "-")
	f := flagNamed(flags, name)
	if f == nil && arg[1] != '-' {
		f = flagNamed(flags, name[len(name)-1:])
	}
	if f == nil {
		return false
	}
	if v, ok := f.(cli.DocGenerationFlag); ok {
		return v.TakesValue()
	}
	return false
}

func flagNamed(flags []cli.Flag, name string) cli.Flag {
	for _, f := range flags {
		for _, n := range f.Names() {
			if n == name {
				return f
			}
		}
	}
	return nil
}
