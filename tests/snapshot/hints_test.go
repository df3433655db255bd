package snapshot

import (
	"strings"
	"testing"

	"github.com/cgs3fs/cgs3fs/tests/harness"
)

// TestSandboxPlanIsWarnedOf makes a snapshot in a bucket that goes with its
// service, also by the short form of the command.
func TestSandboxPlanIsWarnedOf(t *testing.T) {
	for _, args := range [][]string{{}, {"create"}} {
		d := newDesk(t)
		d.Put(t, "key", []byte("x"))
		for plan, warned := range map[string]bool{"basic": false, "basic-sandbox": true} {
			vcap := strings.Replace(server.VCAP(d.Bucket), `"plan":"basic"`, `"plan":"`+plan+`"`, 1)
			cmd := d.command(t.Context(), append(args, "--note", plan)...)
			cmd.Args = cmd.Args[:len(cmd.Args)-2] // without --bucket
			cmd.Env = harness.Env(d.Home, "VCAP_SERVICES="+vcap)
			r := harness.Run(cmd)
			if r.Status != 0 || strings.Contains(r.Stderr, "cf delete-service removes") != warned {
				t.Errorf("%v in plan %s: exit status %d\n%s%s", args, plan, r.Status, r.Stdout, r.Stderr)
			}
		}
	}
}
