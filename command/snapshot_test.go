package command

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/cgs3fs/cgs3fs/s3"
	"github.com/cgs3fs/cgs3fs/s3/s3test"
	"github.com/cgs3fs/cgs3fs/snapshot"
)

// snapshotDesk runs snapshot commands in this process, over a bucket in memory.
type snapshotDesk struct {
	t        *testing.T
	mem      *s3test.Mem
	bucket   s3.Bucket      // what the commands see of mem
	asked    *s3test.Faulty // in front of mem; counts
	clock    time.Time
	out, err bytes.Buffer
}

func newSnapshotDesk(t *testing.T) *snapshotDesk {
	t.Helper()
	d := &snapshotDesk{t: t, clock: time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)}
	d.mem = s3test.NewMem(s3test.MemConfig{Now: d.now})
	d.asked = s3test.NewFaulty(d.mem, s3test.Plan{})
	d.bucket = d.asked
	for _, key := range []string{"a.txt", "dir/b.txt", "dir/c.tmp"} {
		d.mem.PutBytes(key, []byte("content of "+key))
	}
	return d
}

func (d *snapshotDesk) now() time.Time { return d.clock }

func (d *snapshotDesk) open(c *cli.Context, readOnly bool) (*snapshotSession, error) {
	cfg := snapshot.Config{Source: d.bucket, SourceName: "bucket", Prefix: c.String("prefix"), Now: d.now, ReadOnly: readOnly}
	store, err := snapshot.Open(cfg)
	return &snapshotSession{
		cfg: cfg, store: store, out: &d.out, err: &d.err, now: d.now,
		openOther: func(address string) (otherBucket, error) {
			return otherBucket{d.bucket, d.bucket, "bucket", strings.TrimPrefix(address, "s3://bucket/")}, nil
		},
	}, err
}

// run runs a command and returns its exit status and standard output.
func (d *snapshotDesk) run(args ...string) (int, string) {
	d.t.Helper()
	d.out.Reset()
	d.err.Reset()
	app := newApp()
	app.Writer, app.ErrWriter = &d.out, &d.err
	app.Commands = []*cli.Command{snapshotCommandWith(d.open, sourceFlags())}
	err := app.RunContext(d.t.Context(), flagsFirst(app, append([]string{"cgs3fs", "snapshot"}, args...)))
	if err != nil {
		printError(&d.err, err)
	}
	return exitOf(err), d.out.String()
}

func exitOf(err error) int {
	if err == nil {
		return exitOK
	}
	return statusOf(err)
}

func (d *snapshotDesk) want(status int, text string, args ...string) {
	d.t.Helper()
	got, out := d.run(args...)
	if got != status || !strings.Contains(out+d.err.String(), text) {
		d.t.Errorf("snapshot %s: status %d, want %d with %q:\n%s%s", strings.Join(args, " "), got, status, text, out, &d.err)
	}
}

func TestSnapshotCommandsFromDayToDay(t *testing.T) {
	d := newSnapshotDesk(t)
	d.want(exitNotFound, "no complete snapshot", "list", "--max-age", "8d")
	before := len(d.mem.Keys())
	d.want(exitOK, "would make 2026-11-23: 3 objects", "--dry-run")
	if after := len(d.mem.Keys()); after != before {
		t.Errorf("a dry run wrote %d keys", after-before)
	}
	d.want(exitOK, "2026-11-23: 2 objects", "--exclude", "*.tmp", "--note", "first", "--tag", "keep")
	d.want(exitOK, "is there already", "create", "--if-missing", "--exclude", "*.tmp")
	d.want(exitOK, "would make 2026-11-23T", "create", "--if-missing", "--dry-run")
	d.want(exitOK, "first [keep]", "list")
	d.want(exitOK, "", "list", "--max-age", "8d")
	d.clock = d.clock.Add(9 * 24 * time.Hour)
	d.want(exitNotFound, "newest complete snapshot is of 2026-11-23", "list", "--max-age", "8d")
	now := d.clock
	d.clock = now.Add(300 * 24 * time.Hour) // a machine with a wrong clock
	d.want(exitOK, "2027-", "create", "--tag", "future")
	d.clock = now
	d.want(exitNotFound, "newest complete snapshot is of 2026-11-23", "list", "--max-age", "8d")
	d.want(exitOK, "", "delete", "2027")
	d.want(exitOK, "2026-12-02: 3 objects", "create", "--incremental")
	d.want(exitOK, "would copy 2 objects, 36 B into 2026-12-02\n  requests: ", "materialize", "latest", "--dry-run")
	d.want(exitOK, "dir/b.txt", "show", "latest", "dir")
	d.want(exitNotFound, "holds nothing", "show", "latest", "nowhere/")
	d.want(exitOK, "content of a.txt", "cat", "latest", "a.txt")
	d.want(exitOK, "+ dir/c.tmp", "diff", "2026-11", "latest")
	d.want(exitDiffers, "added: 1 object", "diff", "2026-11", "latest", "--stat", "--exit-code")
	d.want(exitOK, "2026-12-02: 3 objects, 56 B: whole", "verify", "--all", "--level", "read")
	d.want(exitOK, "keep  2 objects, 36 B  tag keep", "prune", "--keep-last", "1", "--keep-tag", "keep", "--dry-run")
	d.want(exitOK, "would copy first what others link to: 2 objects, 36 B\n  requests: ", "prune", "--keep-last", "1", "-n")
	d.want(exitOK, "would pin 2026-12-02: 3 objects, 56 B\n  requests: 1 reads, 1 writes, about $0.00", "pin", "latest", "-n")
	d.want(exitOK, "2026-12-02 is not pinned: 3 objects, 56 B\n  requests: 1 reads, about $0.00", "unpin", "latest", "-n")
	d.want(exitOK, "removed 2026-11-23", "prune", "--keep-last", "1")
	d.want(exitOK, "removed nothing", "prune", "--keep-last", "1")
	d.want(exitOK, "whole", "verify", "latest")
	d.want(exitRefused, "no complete snapshot would be left", "delete", "2026-12-02")
}

// TestFullThatFallsDueAfterAnInterruption finishes an incremental snapshot by the
// same command line when, by that, a full one is due.
func TestFullThatFallsDueAfterAnInterruption(t *testing.T) {
	for _, test := range []struct {
		name     string
		after    time.Duration
		more     []string
		id, kind string
	}{
		{"after midnight", 2 * time.Hour, nil, "2026-11-23T230000Z", "incremental"},
		{"by order", 48 * time.Hour, []string{"--resume"}, "2026-11-23T230000Z", "incremental"},
		{"anew", 2 * time.Hour, []string{"--no-resume"}, "2026-11-24", "full"},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := newSnapshotDesk(t)
			d.want(exitOK, "2026-11-23: 3 objects", "create")
			d.clock = d.clock.Add(14 * time.Hour)
			d.mem.PutBytes("new", []byte("new"))
			cut := s3test.Rule{Op: s3.OpCopy, Fault: s3test.Fault{Do: s3test.Fail, Kind: s3.ErrUnavailable}}
			d.bucket = s3test.NewFaulty(d.mem, s3test.Plan{Rules: []s3test.Rule{cut}})
			line := []string{"create", "--incremental", "--full-every", "15h"}
			d.want(exitUnavailable, "goes on where this run ended", line...)
			d.bucket = d.mem
			d.clock = d.clock.Add(test.after)
			d.want(exitOK, test.id+": 4 objects", append(line, test.more...)...)
			d.want(exitOK, "kind        "+test.kind, "show", test.id)
		})
	}
}

func TestSnapshotCommandsMistakes(t *testing.T) {
	d := newSnapshotDesk(t)
	d.want(exitNotFound, "snapshot list shows", "show", "latest")
	d.want(exitUsage, "which snapshots?", "verify")
	d.want(exitUsage, "no rule says what to keep", "prune")
	d.want(exitUsage, "levels are", "verify", "--all", "--level", "deep")
	d.want(exitUsage, "samples look like", "verify", "--all", "--sample", "8/7")
	d.want(exitUsage, "there is no command", "crate")
	d.want(exitUsage, "needs ID", "cat", "x")
	d.want(exitNotFound, "no such snapshot", "delete", "2020-01-01")
	d.want(exitUsage, "\"extra\" is not understood: snapshot list takes options only", "list", "extra")
	d.want(exitUsage, "is no directory", "restore", "latest", "--to-dir", "/does/not/exist")
	d.want(exitOK, "there are no snapshots in bucket below data/", "list")
	d.want(exitOK, "there are no snapshots in bucket\n", "list", "--prefix", "/")
	d.want(exitOK, "there are no snapshots in bucket below data/", "verify", "--all")
	d.want(exitUsage, "--full-every is about --incremental", "create", "--full-every", "30d")
	d.want(exitUsage, "--exclude \"\" is not understood", "create", "--exclude", "")
	d.want(exitUsage, "--include \"\" is not understood", "create", "--exclude", "x", "--include", "")
	d.want(exitUsage, "samples look like", "verify", "--all", "--sample", "1e-300%")
	d.want(exitOK, "2026-11-23: 3 objects", "create")
	d.want(exitNotFound, "neither 2026-11-23 nor live holds anything below \"typo/\"", "diff", "latest", "live", "typo/")
	d.want(exitOK, "", "diff", "latest", "live", "dir/")
	d.want(exitOK, "", "diff", "latest", "live", "a.txt")
	d.mem.PutBytes("later/x", nil)
	d.want(exitOK, "+ later/x", "diff", "latest", "live", "later/")
	d.mem.SetPublic(true)
	d.want(exitRefused, "anybody may read", "create")
}

// TestPruneTakesNoRuleThatMeansNothing: a rule that keeps nothing, of a variable
// that is not set or of days that lack their letter, would leave one snapshot.
func TestPruneTakesNoRuleThatMeansNothing(t *testing.T) {
	d := newSnapshotDesk(t)
	for range 3 {
		d.want(exitOK, "3 objects", "create")
		d.clock = d.clock.Add(24 * time.Hour)
	}
	for _, rule := range [][]string{
		{"--keep-tag", ""},
		{"--keep-tag", "a", "--keep-tag", ""},
		{"--keep-last", "-1", "--keep-daily", "1"},
		{"--keep-yearly", "-1", "--keep-daily", "1"},
		{"--keep-within", "30"},
		{"--keep-within", "30", "--keep-daily", "1"},
	} {
		d.want(exitUsage, "is not understood", append([]string{"prune"}, rule...)...)
	}
	d.want(exitUsage, "ages look like", "list", "--max-age", "8")
	d.want(exitUsage, "ages look like", "create", "--incremental", "--full-every", "30")
	d.want(exitOK, "", "verify", "2026-11-23", "2026-11-24", "2026-11-25")
}

// TestSnapshotsOfAnotherBucket makes a snapshot that is in the place of this bucket's
// one of another.
func TestSnapshotsOfAnotherBucket(t *testing.T) {
	d := newSnapshotDesk(t)
	d.want(exitOK, "2026-11-23: 3 objects", "create")
	const manifest = "data/.cgs3fs/2026-11-23/manifest.json"
	data, _ := d.mem.Bytes(manifest)
	theirs := strings.Replace(string(data), `"bucket": "bucket"`, `"bucket": "theirs"`, 1)
	if theirs == string(data) {
		t.Fatalf("the manifest is %s", data)
	}
	d.mem.PutBytes(manifest, []byte(theirs))
	d.want(exitOK, "theirs  complete", "list")
	d.want(exitNotFound, "no complete snapshot", "list", "--max-age", "8d")
	d.want(exitNotFound, "none of these is of the bucket bucket", "restore", "latest")
	d.want(exitRefused, "2026-11-23 is of the bucket theirs, and not of bucket; say where it is to go", "restore", "2026-11-23")
	d.want(exitOK, "restored from 2026-11-23", "restore", "2026-11-23", "--to", "s3://bucket/theirs/")
	d.want(exitOK, "keep  3 objects, 56 B  of the bucket theirs", "prune", "--keep-last", "1", "--dry-run")
	d.want(exitOK, "2026-11-23T", "create")
	d.want(exitOK, "bucket", "list")
	d.want(exitOK, "", "list", "--max-age", "8d")
	d.want(exitRefused, "no complete snapshot would be left of bucket", "delete", "latest")
}

func TestSnapshotWithADamagedManifest(t *testing.T) {
	d := newSnapshotDesk(t)
	d.want(exitOK, "2026-11-23: 3 objects", "create")
	d.mem.PutBytes("data/.cgs3fs/2026-11-23/manifest.json", []byte("{"))
	d.want(exitOK, "2026-11-23T", "create")
	d.want(exitOK, "2026-11-23          damaged            ", "list")
	d.want(exitDiffers, "2026-11-23T090000Z: 3 objects, 56 B: whole", "verify", "--all")
	d.want(exitDiffers, "1 of 2 snapshots are damaged", "verify", "--all")
	d.clock = d.clock.Add(time.Hour)
	d.want(exitOK, "2026-11-23T10", "create")
	d.want(exitDiffers, "the manifest of 2026-11-23 can't be read", "prune", "--keep-last", "1")
	d.want(exitDiffers, "remove that file", "delete", "2026-11-23")
}

func TestSnapshotRestoreCommand(t *testing.T) {
	d := newSnapshotDesk(t)
	d.want(exitOK, "3 objects", "create")
	d.clock = d.clock.Add(time.Hour)
	d.mem.PutBytes("a.txt", []byte("spoilt"))
	d.want(exitDiffers, "M a.txt", "diff", "latest", "live", "--exit-code")
	d.want(exitNotFound, "what is below it is \"dir/\"", "restore", "latest", "dir")
	d.want(exitNotFound, "has no \"dir/x\"", "restore", "latest", "dir/x")
	d.want(exitNotFound, "2026-11-23 has no object \"b.txt\"", "cat", "latest", "b.txt")
	d.want(exitOK, "would be deleted\n  requests: ", "restore", "latest", "--dry-run")
	d.want(exitOK, "would restore from 2026-11-23: 1 object", "restore", "latest", "--dry-run")
	d.want(exitOK, "what was changed is in 2026-11-23T100000Z", "restore", "latest")
	if data, _ := d.mem.Bytes("a.txt"); string(data) != "content of a.txt" {
		t.Errorf("a.txt is %q", data)
	}
	d.want(exitOK, "restored", "restore", "latest", "--to", "s3://bucket/back/", "dir/")
	if data, _ := d.mem.Bytes("back/dir/b.txt"); string(data) != "content of dir/b.txt" {
		t.Errorf("back/dir/b.txt is %q", data)
	}
	d.want(exitOK, "restored", "restore", "latest", "--to", "s3://bucket/again", "a.txt")
	if data, _ := d.mem.Bytes("again/a.txt"); string(data) != "content of a.txt" {
		t.Errorf("again/a.txt is %q", data)
	}
	dir := t.TempDir()
	d.want(exitUsage, "--with-config is about the bucket itself", "restore", "latest", "--to-dir", dir, "--with-config")
	d.want(exitUsage, "--with-config is about the bucket itself", "restore", "latest", "--to", "s3://bucket/b/", "--with-config")
	d.mem.PutBytes("x//y", nil)
	d.clock = d.clock.Add(time.Hour)
	d.want(exitOK, "", "create")
	d.want(exitPartly, "are no paths", "restore", "2026-11-23T11", "--to-dir", dir)
	if data, _ := os.ReadFile(filepath.Join(dir, "dir/b.txt")); string(data) != "content of dir/b.txt" {
		t.Errorf("the file has %q", data)
	}
}

// TestLockedOutIsToldWhatHelps has a run seem alive. Only some commands can take
// over from it.
func TestLockedOutIsToldWhatHelps(t *testing.T) {
	d := newSnapshotDesk(t)
	d.want(exitOK, "", "create")
	d.mem.PutBytes("a.txt", []byte("changed"))
	d.mem.PutBytes("data/.cgs3fs/2026-11-23T090001Z/claim.json", []byte(`{"run":"x","what":"theirs"}`))
	const wait, over = "it counts as dead after ten minutes\n", "ten minutes, or with --take-over\n"
	d.want(exitLocked, over, "create")
	d.want(exitLocked, over, "prune", "--keep-last", "1")
	d.want(exitLocked, wait, "prune", "--keep-last", "1", "--take-over")
	d.want(exitLocked, wait, "restore", "latest")
	d.want(exitLocked, wait, "materialize", "latest")
	d.want(exitLocked, wait, "verify", "latest", "--repair")
}

// TestRulesThatWereNotReadAreNotRestored: a snapshot by a key that may not read CORS
// rules does not know that there were none.
func TestRulesThatWereNotReadAreNotRestored(t *testing.T) {
	d := newSnapshotDesk(t)
	rules := []s3.CORSRule{{AllowedOrigins: []string{"https://app.example.gov"}, AllowedMethods: []string{"GET"}}}
	d.want(exitOK, "", "create", "--note", "none")
	if err := d.mem.PutCORS(t.Context(), rules); err != nil {
		t.Fatal(err)
	}
	denied := s3test.Rule{Op: s3.OpGetCORS, Fault: s3test.Fault{Do: s3test.Fail, Kind: s3.ErrDenied}}
	d.bucket = s3test.NewFaulty(d.mem, s3test.Plan{Rules: []s3test.Rule{denied}})
	d.want(exitOK, "2026-11-23T090000Z", "create")
	d.bucket = d.mem
	d.want(exitRefused, "restored from 2026-11-23T090000Z", "restore", "latest", "--with-config")
	d.want(exitRefused, "does not know the CORS rules", "restore", "latest", "--with-config")
	if got, err := d.mem.GetCORS(t.Context()); err != nil || len(got) != 1 {
		t.Errorf("the rules are %v, %v", got, err)
	}
	d.want(exitOK, "restored", "restore", "2026-11-23", "--with-config")
	if got, err := d.mem.GetCORS(t.Context()); err != nil || len(got) != 0 {
		t.Errorf("the rules are %v, %v", got, err)
	}
}

func TestSnapshotAdoptCommand(t *testing.T) {
	d := newSnapshotDesk(t)
	d.mem.PutBytes("data/2025/06/01/a", []byte("old"))
	d.want(exitOK, "would make 2025-06-01 of 1 object, 3 B, copying nothing\n  requests: ", "adopt", "data/2025/06/01/", "--dry-run")
	d.want(exitOK, "2025-06-01: 1 object", "adopt", "data/2025/06/01/")
	d.want(exitRefused, "is a snapshot already", "adopt", "data/2025/06/01")
	d.want(exitRefused, "no dated prefix", "adopt", "elsewhere/")
	d.want(exitOK, "", "pin", "2025-06-01")
	d.want(exitOK, "2025-06-01 is pinned already: 1 object", "pin", "2025-06-01", "-n")
	d.want(exitOK, "would unpin 2025-06-01: 1 object", "unpin", "2025-06-01", "-n")
	d.want(exitRefused, "is pinned", "delete", "2025-06-01")
	d.want(exitOK, "", "unpin", "2025-06-01")
}

func TestSnapshotJSONIsJSON(t *testing.T) {
	d := newSnapshotDesk(t)
	for _, args := range [][]string{
		{"create", "--dry-run", "--json"},
		{"create", "--json"},
		{"list", "--json"},
		{"show", "latest", "--json"},
		{"verify", "latest", "--json"},
		{"diff", "latest", "live", "--stat", "--json"},
		{"verify", "latest", "--repair", "--dry-run", "--json"},
		{"restore", "latest", "--json"},
		{"restore", "latest", "--dry-run", "--json"},
		{"materialize", "latest", "--dry-run", "--json"},
		{"materialize", "latest", "--json"},
		{"prune", "--keep-last", "1", "--dry-run", "--json"},
		{"prune", "--keep-last", "1", "--json"},
	} {
		status, out := d.run(args...)
		if status != exitOK || !json.Valid([]byte(out)) {
			t.Errorf("%v: status %d:\n%s%s", args, status, out, &d.err)
		}
	}
}

func TestSnapshotRepairCommand(t *testing.T) {
	d := newSnapshotDesk(t)
	d.want(exitOK, "3 objects", "create")
	if err := d.mem.Delete(t.Context(), s3.Target{Key: "data/2026/11/23/a.txt"}); err != nil {
		t.Fatal(err)
	}
	for i := range 15 {
		d.mem.PutBytes(fmt.Sprintf("data/2026/11/23/stranger%02d", i), nil)
	}
	d.want(exitDiffers, "5 objects more below its prefix", "verify", "latest")
	d.want(exitDiffers, "damaged: 1 object, 1 can be repaired\n  requests: 3 writes", "verify", "latest", "--repair", "--dry-run")
	d.want(exitDiffers, "damaged: 1 object, 0 repaired", "verify", "latest")
	d.want(exitOK, "whole again, 1 repaired", "verify", "latest", "--repair")
	d.want(exitOK, ": whole", "verify", "latest")
}

// TestDryRunsTellWhatItCosts compares the dollars that a dry run tells with S3's
// prices of the requests that the same command then makes.
func TestDryRunsTellWhatItCosts(t *testing.T) {
	d := newSnapshotDesk(t)
	for i := range 3000 {
		d.mem.PutBytes(fmt.Sprintf("many/%04d", i), []byte("0123456789"))
	}
	lose := func(format string, n int) {
		for i := range n {
			if err := d.mem.Delete(t.Context(), s3.Target{Key: fmt.Sprintf(format, i)}); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, test := range []struct {
		told    string // in words, beside the requests
		dollars float64
		before  func()
		args    []string
	}{
		{"to copy: 3,003 objects, 29 KiB", 0.015, nil, []string{"create"}},
		{"to copy: 0 objects, 0 B", 0, nil, []string{"create", "--incremental"}},
		{"would copy 3,003 objects, 29 KiB into 2026-11-24", 0.016, nil, []string{"materialize", "latest"}},
		{"to copy: 0 objects, 0 B", 0, nil, []string{"create", "--incremental", "--tag", "third"}},
		{"would remove 2026-11-24: 3,003 objects, 29 KiB", 0, nil, []string{"delete", "2026-11-24"}}, // another has the same
		{"would copy first what others link to: 3,003 objects, 29 KiB", 0.016, nil, []string{"prune", "--keep-last", "1"}},
		{"would restore from 2026-11-26: 2,000 objects, 20 KiB", 0.01, func() { lose("many/%04d", 2000) }, []string{"restore", "latest"}},
		{"damaged: 1,000 objects, 1000 can be repaired", 0.005, func() { lose("data/2026/11/26/many/%04d", 1000) }, []string{"verify", "latest", "--repair"}},
		{"would make 2025-06-01 of 3,003 objects, 29 KiB, copying nothing", 0, func() {
			for _, key := range d.mem.Keys() {
				if data, _ := d.mem.Bytes(key); !strings.HasPrefix(key, "data/") {
					d.mem.PutBytes("data/2025/06/01/"+key, data)
				}
			}
		}, []string{"adopt", "data/2025/06/01"}},
		{"would remove 2026-12-02: 2,000 objects, 20 KiB", 0, func() {
			d.asked.SetPlan(s3test.Plan{Rules: []s3test.Rule{{Op: s3.OpCopy, Nth: 2001, Times: 9999, Fault: s3test.Fault{Do: s3test.Fail, Kind: s3.ErrQuota}}}})
			if status, _ := d.run("create"); status == exitOK {
				t.Error("a run that fails succeeds")
			}
			d.asked.SetPlan(s3test.Plan{})
		}, []string{"prune", "--incomplete"}},
	} {
		if test.before != nil {
			test.before()
		}
		keys := len(d.mem.Keys())
		_, words := d.run(append(test.args, "--dry-run")...)
		_, out := d.run(append(test.args, "--dry-run", "--json")...)
		told := dollarsIn(t, out)
		if !strings.Contains(words, test.told) || !strings.Contains(words, "\n  requests: ") || !strings.Contains(words, fmt.Sprintf(", about $%.2f\n", told)) {
			t.Errorf("%v tells (%f):\n%.2000s", test.args, told, words)
		}
		if now := len(d.mem.Keys()); now != keys {
			t.Errorf("dry run of %v writes %d objects", test.args, now-keys)
		}
		d.asked.Reset()
		if status, out := d.run(test.args...); status != exitOK {
			t.Errorf("%v ends with %d:\n%s%s", test.args, status, out, &d.err)
		}
		paid := price(d.asked.Calls())
		const few = 0.0003 // what does not grow with the number of objects
		if math.Abs(told-paid) > paid/5+few || paid < test.dollars {
			t.Errorf("%v: a dry run tells $%f, paid were $%f for %v", test.args, told, paid, d.asked.Calls())
		}
		d.clock = d.clock.Add(24 * time.Hour)
	}
}

// price is what S3 asks for calls, by its list.
func price(calls map[string]int) (dollars float64) {
	for op, n := range calls {
		switch op {
		case s3.OpGet, s3.OpHead:
			dollars += float64(n) * 0.40 / 1_000_000
		case s3.OpDelete, s3.OpAbortUpload:
		default:
			dollars += float64(n) * 5 / 1_000_000
		}
	}
	return dollars
}

// dollarsIn adds all that a JSON document calls dollars.
func dollarsIn(t *testing.T, doc string) float64 {
	t.Helper()
	sum := 0.0
	for _, found := range regexp.MustCompile(`"dollars": ([0-9.e-]+)`).FindAllStringSubmatch(doc, -1) {
		n, err := strconv.ParseFloat(found[1], 64)
		if err != nil {
			t.Fatal(err)
		}
		sum += n
	}
	return sum
}
