package command

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/cgs3fs/cgs3fs/creds"
)

// completionTime is how long a person waits for the shell's completion.
const completionTime = 3 * time.Second

// completeServices completes the value of --service, and an argument that may be
// a service, with the names of the space's services. No credentials are read.
// Other flags complete themselves.
func completeServices(c *cli.Context) {
	last := lastWord(os.Args)
	if strings.HasPrefix(last, "-") && last != "--service" {
		cli.DefaultCompleteWithFlags(c.Command)(c)
		return
	}
	ctx, cancel := context.WithTimeout(c.Context, completionTime)
	defer cancel()
	r := creds.Request{Getenv: os.Getenv}
	r.HomeDir, _ = os.UserHomeDir()
	names, err := creds.ServiceNames(ctx, r)
	if err != nil {
		return // a completion has nobody to tell
	}
	for _, name := range names {
		fmt.Fprintln(c.App.Writer, name)
	}
}

// lastWord is the word before the one that is being completed.
func lastWord(args []string) string {
	if n := len(args); n >= 2 && args[n-1] == "--generate-bash-completion" {
		return args[n-2]
	}
	return ""
}
