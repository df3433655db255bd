package snapshot

import (
	"slices"
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

// TestKeyForBothBucketsIsAdvised makes snapshots in the bucket of another service,
// with a key of its own and with one that is for both.
func TestKeyForBothBucketsIsAdvised(t *testing.T) {
	const advice = "  cf share-service backups -s SPACE\n  cf create-service-key storage both -c '{\"additional_instances\":[\"backups\"]}'\n"
	d := newDesk(t)
	d.Put(t, "key", []byte("x"))
	backups := server.Bucket(t)
	theirs := strings.Replace(server.VCAP(backups.Bucket), `"name":"storage"`, `"name":"backups"`, 1)
	both := func(additional string) string {
		ours := strings.Replace(server.VCAP(d.Bucket), `"additional_buckets":[]`, `"additional_buckets":[`+additional+`]`, 1)
		return strings.TrimSuffix(ours, "]}") + "," + strings.TrimPrefix(theirs, `{"s3":[`)
	}
	for _, test := range []struct {
		additional string
		args       []string
		advised    bool
	}{
		{"", []string{"create", "--to", "backups"}, true},
		{"", []string{"--in", "backups"}, true},
		{"", []string{"create", "--to", "s3://" + backups.Bucket}, true},
		{"", []string{"list", "--in", "backups"}, false},
		{`"` + backups.Bucket + `"`, []string{"create", "--to", "backups"}, false},
		{`"` + backups.Bucket + `"`, []string{"create", "--to", "s3://" + backups.Bucket}, false},
		{"", []string{"create"}, false},
	} {
		cmd := d.command(t.Context(), append(test.args, "--service", "storage")...)
		cmd.Args = slices.DeleteFunc(cmd.Args, func(arg string) bool { return arg == "--bucket" || arg == d.Bucket })
		cmd.Env = harness.Env(d.Home, "VCAP_SERVICES="+both(test.additional))
		r := harness.Run(cmd)
		if r.Status != 0 || strings.Contains(r.Stderr, advice) != test.advised || strings.Contains(r.Stderr, "share-service") != test.advised {
			t.Errorf("%v with a key for [%s]: exit status %d\n%s%s", test.args, test.additional, r.Status, r.Stdout, r.Stderr)
		}
	}
	if keys := backups.Keys(t, "data/2"); len(keys) != 5 {
		t.Errorf("in the other bucket are %v", keys)
	}
}
