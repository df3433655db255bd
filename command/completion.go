package command

import (
	"fmt"

	"github.com/urfave/cli/v2"
)

// The shells ask the program itself, with --generate-bash-completion.
const (
	bashCompletion = `_cgs3fs() {
  local cur="${COMP_WORDS[COMP_CWORD]}" out
  out=$("${COMP_WORDS[@]:0:COMP_CWORD}" $([ "${cur:0:1}" = - ] && printf %s "$cur") --generate-bash-completion 2>/dev/null)
  COMPREPLY=($(compgen -W "$out" -- "$cur"))
}
complete -o bashdefault -o default -F _cgs3fs cgs3fs
`
	zshCompletion = `#compdef cgs3fs
_cgs3fs() {
  local -a opts
  opts=("${(@f)$(${words[@]:0:#words[@]-1} --generate-bash-completion 2>/dev/null)}")
  if [[ -n "${opts[1]}" ]]; then _describe values opts; else _files; fi
}
compdef _cgs3fs cgs3fs
`
)

func completionCommand() *cli.Command {
	return &cli.Command{
		Name:         "completion",
		Usage:        "print a completion script for bash, zsh or fish",
		ArgsUsage:    "SHELL",
		Description:  "bash: source <(cgs3fs completion bash)",
		OnUsageError: usageError,
		Action: func(c *cli.Context) error {
			if c.NArg() > 1 {
				return usagef("%q: completion takes one shell", c.Args().Get(1))
			}
			var text string
			switch shell := c.Args().First(); shell {
			case "bash":
				text = bashCompletion
			case "zsh":
				text = zshCompletion
			case "fish":
				var err error
				if text, err = c.App.ToFishCompletion(); err != nil {
					return err
				}
			default:
				return usagef("no completion for %q", shell).try("bash, zsh or fish")
			}
			_, err := fmt.Fprint(c.App.Writer, text)
			return err
		},
	}
}

func manCommand() *cli.Command {
	return &cli.Command{
		Name:         "man",
		Usage:        "print the manual page",
		OnUsageError: usageError,
		Action: func(c *cli.Context) error {
			if err := noArguments(c); err != nil {
				return err
			}
			text, err := c.App.ToManWithSection(1)
			if err != nil {
				return err
			}
			_, err = fmt.Fprint(c.App.Writer, text)
			return err
		},
	}
}
