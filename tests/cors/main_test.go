package cors

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/cgs3fs/cgs3fs/tests/harness"
)

// server is shared: every test has a bucket of its own.
var server *harness.Server

func TestMain(m *testing.M) { os.Exit(harness.Main(m, &server)) }

// desk is a person's machine that works on the bucket's CORS rules.
type desk struct{ *harness.Desk }

func newDesk(t testing.TB) *desk {
	t.Helper()
	return &desk{server.Desk(t)}
}

// try runs "cgs3fs cors" with args.
func (d *desk) try(args ...string) harness.Result {
	d.Helper()
	return d.Try(append([]string{"cors"}, args...)...)
}

// cors is try that must succeed.
func (d *desk) cors(args ...string) harness.Result {
	d.Helper()
	r := d.try(args...)
	if r.Status != 0 {
		d.Fatalf("cgs3fs cors %q: exit status %d\n%s%s", args, r.Status, r.Stdout, r.Stderr)
	}
	return r
}

// aws runs "aws s3api" for the desk's bucket and returns what it prints.
func (d *desk) aws(args ...string) string {
	d.Helper()
	r := d.tryAWS(args...)
	if r.Status != 0 {
		d.Fatalf("aws s3api %q: exit status %d\n%s%s", args, r.Status, r.Stdout, r.Stderr)
	}
	return r.Stdout
}

func (d *desk) tryAWS(args ...string) harness.Result {
	d.Helper()
	return harness.Run(d.AWS(append(append([]string{"s3api"}, args...), "--bucket", d.Bucket)...))
}

// table is cors/testdata/preflights.json: questions with the answers that S3's
// documentation and the Fetch standard give.
func table(t testing.TB) []group {
	t.Helper()
	data, err := os.ReadFile("../../cors/testdata/preflights.json")
	if err != nil {
		t.Fatal(err)
	}
	var groups []group
	if err := json.Unmarshal(data, &groups); err != nil {
		t.Fatal(err)
	}
	return groups
}

type group struct {
	Name  string          `json:"name"`
	Rules json.RawMessage `json:"rules"`
	Cases []struct {
		Origin      string `json:"origin"`
		Method      string `json:"method"`
		Headers     string `json:"headers"`
		Rule        int    `json:"rule"` // -1: refused
		AllowOrigin string `json:"allow_origin"`
		Why         string `json:"why"`
	} `json:"cases"`
}
