package command

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/urfave/cli/v2"

	"github.com/cgs3fs/cgs3fs/cors"
	"github.com/cgs3fs/cgs3fs/s3"
	"github.com/cgs3fs/cgs3fs/s3/s3test"
)

// corsDesk runs cors commands in this process, over a bucket in memory.
type corsDesk struct {
	t       *testing.T
	session *corsSession
	rules   *steadyCORS
	out     bytes.Buffer
	err     bytes.Buffer
	clock   time.Time
	stdin   io.Reader

	noBucket error  // what opening fails with
	answer   string // to questions; empty if there is nobody to ask
}

// steadyCORS is a bucket's rules, with a hook before each read.
type steadyCORS struct {
	s3.CORS
	reads   int
	onRead  func(n int) // n from 1
	failPut error
}

func (c *steadyCORS) GetCORS(ctx context.Context) ([]s3.CORSRule, error) {
	c.reads++
	if c.onRead != nil {
		c.onRead(c.reads)
	}
	return c.CORS.GetCORS(ctx)
}

func (c *steadyCORS) PutCORS(ctx context.Context, rules []s3.CORSRule) error {
	if c.failPut != nil {
		return c.failPut
	}
	return c.CORS.PutCORS(ctx, rules)
}

func newCORSDesk(t *testing.T) *corsDesk {
	t.Helper()
	d := &corsDesk{
		t: t, rules: &steadyCORS{CORS: s3test.NewMem(s3test.MemConfig{})},
		clock: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC),
	}
	d.session = &corsSession{
		client: http.DefaultClient,
		sign:   func(r *http.Request) error { r.Header.Set("Authorization", "signed"); return nil },
		bucket: "cg-1", rules: d.rules, history: newCORSHistory(t.TempDir(), "cg-1", "s3.example.gov"),
		out: &d.out, err: &d.err,
		now:   func() time.Time { d.clock = d.clock.Add(time.Second); return d.clock },
		sleep: func(_ context.Context, pause time.Duration) error { d.clock = d.clock.Add(pause); return nil },
	}
	return d
}

// run runs a command as typed and returns its exit status.
func (d *corsDesk) run(args ...string) int {
	d.t.Helper()
	d.out.Reset()
	d.err.Reset()
	d.rules.reads = 0
	if d.answer != "" {
		d.session.ask = func(q string) (bool, error) { return ask(strings.NewReader(d.answer), &d.err, q) }
	}
	app := &cli.App{
		Commands: []*cli.Command{corsCommandWith(func(*cli.Context) (*corsSession, error) { return d.session, d.noBucket }, nil)},
		Reader:   d.stdin, Writer: &d.out, ErrWriter: &d.err, ExitErrHandler: func(*cli.Context, error) {},
	}
	err := app.RunContext(d.t.Context(), flagsFirst(app, append([]string{"cgs3fs", "cors"}, args...)))
	if err == nil {
		return exitOK
	}
	d.err.WriteString("cgs3fs: " + err.Error() + "\n  " + hintOf(err) + "\n")
	return statusOf(err)
}

func (d *corsDesk) want(status int, args ...string) {
	d.t.Helper()
	if got := d.run(args...); got != status {
		d.t.Errorf("cors %q: status %d, want %d\n%s%s", args, got, status, &d.out, &d.err)
	}
}

func (d *corsDesk) current() []cors.Rule {
	d.t.Helper()
	rules, err := d.rules.CORS.GetCORS(d.t.Context())
	if err != nil {
		d.t.Fatal(err)
	}
	return rules
}

func (d *corsDesk) set(rules ...cors.Rule) {
	d.t.Helper()
	err := d.rules.DeleteCORS(d.t.Context())
	if len(rules) > 0 {
		err = d.rules.CORS.PutCORS(d.t.Context(), rules)
	}
	if err != nil {
		d.t.Fatal(err)
	}
}

func (d *corsDesk) wantRules(want ...cors.Rule) {
	d.t.Helper()
	if diff := cmp.Diff(want, d.current()); diff != "" {
		d.t.Errorf("rules (-want +got)\n%s", diff)
	}
}

func (d *corsDesk) wantText(where *bytes.Buffer, text string) {
	d.t.Helper()
	if !strings.Contains(where.String(), text) {
		d.t.Errorf("%q is not in\n%s", text, where)
	}
}

func siteRule(methods []string, origins ...string) cors.Rule {
	return cors.Rule{AllowedOrigins: origins, AllowedMethods: methods}
}

var readOnly = []string{"GET", "HEAD"}

const site, other = "https://app.example.gov", "https://b.example.gov"

func TestCORSAllowDenyUndo(t *testing.T) {
	d := newCORSDesk(t)
	d.want(exitOK, "allow", site, "--yes")
	d.wantRules(siteRule(readOnly, site))
	d.wantText(&d.out, "+       - https://app.example.gov")
	d.want(exitOK, "allow", other, "--yes")
	d.wantRules(siteRule(readOnly, site, other))
	d.want(exitOK, "deny", site, "-y")
	d.wantRules(siteRule(readOnly, other))
	d.want(exitOK, "deny", other, "-y")
	d.wantRules()
	for _, want := range [][]string{{other}, {site, other}, {site}} {
		d.want(exitOK, "undo", "--yes")
		d.wantRules(siteRule(readOnly, want...))
	}
	d.want(exitOK, "undo", "--yes")
	d.wantRules()
	d.want(exitNotFound, "undo", "--yes")
}

func TestCORSAllowTakesAllItsFlags(t *testing.T) {
	d := newCORSDesk(t)
	d.want(exitOK, "allow", site, "--method", "get,PUT", "--method", "post", "--header", "content-type, x-amz-*",
		"--expose", "ETag", "--max-age", "90m", "--id", "web", "--yes")
	age := int32(5400)
	d.wantRules(cors.Rule{
		ID: "web", AllowedOrigins: []string{site}, AllowedMethods: []string{"GET", "PUT", "POST"},
		AllowedHeaders: []string{"content-type", "x-amz-*"}, ExposeHeaders: []string{"ETag"}, MaxAgeSeconds: &age,
	})
}

func TestCORSApplyTakesJSONAndYAMLAndShowPrintsWhatAWSPrints(t *testing.T) {
	d := newCORSDesk(t)
	for _, file := range []string{"example.json", "example.yaml"} {
		d.set()
		d.want(exitOK, "apply", filepath.Join("../cors/testdata", file), "--yes")
		d.want(exitOK, "show", "--json")
		want, err := os.ReadFile("../cors/testdata/example.json")
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), d.out.String()); diff != "" {
			t.Errorf("%s (-want +got)\n%s", file, diff)
		}
	}
	d.stdin = strings.NewReader(`[{"AllowedMethods": ["GET"], "AllowedOrigins": ["https://stdin.gov"]}]`)
	d.want(exitOK, "apply", "-", "--yes")
	d.wantRules(siteRule([]string{"GET"}, "https://stdin.gov"))
}

func TestCORSShowWithoutRules(t *testing.T) {
	d := newCORSDesk(t)
	d.want(exitOK, "show")
	d.wantText(&d.out, "cg-1 has no CORS rules")
	d.want(exitOK, "show", "--json")
	d.wantText(&d.out, `"CORSRules": []`)
}

func TestCORSShowIsATableWithWarnings(t *testing.T) {
	d := newCORSDesk(t)
	age := int32(3600)
	d.set(
		cors.Rule{ID: "w\x1b[2J", AllowedOrigins: []string{site, other}, AllowedMethods: readOnly, ExposeHeaders: []string{"ETag"}, MaxAgeSeconds: &age},
		siteRule([]string{"PUT"}, "*"),
	)
	d.want(exitOK, "show")
	want := `RULE  ORIGINS                  METHODS    HEADERS  EXPOSED  MAX AGE  ID
1     https://app.example.gov  GET, HEAD  -        ETag     1h0m0s   "w\x1b[2J"
      https://b.example.gov
2     *                        PUT        -        -        -        -
`
	got := regexp.MustCompile(` +\n`).ReplaceAllString(d.out.String(), "\n")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	d.wantText(&d.err, `warning: rule 2: AllowedOrigins "*" with PUT`)
}

func TestCORSDryRunChangesNothing(t *testing.T) {
	d := newCORSDesk(t)
	d.set(siteRule(readOnly, other))
	for _, args := range [][]string{{"allow", site}, {"deny", other}, {"clear"}, {"apply", "../cors/testdata/example.json"}} {
		d.want(exitOK, append(args, "--dry-run", "--yes")...)
		d.wantText(&d.out, "dry run: nothing was changed")
		d.wantRules(siteRule(readOnly, other))
	}
	d.want(exitNotFound, "undo")
}

func TestCORSAsksBeforeItChanges(t *testing.T) {
	d := newCORSDesk(t)
	d.want(exitUsage, "allow", site)
	d.wantText(&d.err, "--yes")
	d.answer = "n\n"
	d.want(exitRefused, "allow", site)
	d.answer = "\n"
	d.want(exitRefused, "allow", site)
	d.wantRules()
	d.answer = "Yes\n"
	d.want(exitOK, "allow", site)
	d.wantRules(siteRule(readOnly, site))
}

func TestCORSBadInputIsOneClearLine(t *testing.T) {
	file := func(text string) string {
		name := filepath.Join(t.TempDir(), "cors.json")
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	handbook := `{"CORSRules": [{"AllowedOrigins": ["YOUR.OTHER.APP.IP"], "AllowedHeaders": ["*"], "AllowedMethods": ["HEAD", "GET"]}]}`
	for _, c := range []struct {
		args   []string
		status int
		want   string
		late   bool // only seen with the bucket's rules at hand
	}{
		{[]string{"allow"}, exitUsage, "which site to allow?\n  cgs3fs cors allow https://app.example.gov", false},
		{[]string{"allow", "app.example.gov"}, exitUsage, "origin \"app.example.gov\" has no scheme, so no browser's origin ever matches it\n  cgs3fs cors allow https://app.example.gov", false},
		{[]string{"allow", site + "/"}, exitUsage, "ends in a slash", false},
		{[]string{"allow", site, "--method", "OPTIONS"}, exitUsage, `AllowedMethods "OPTIONS" must be left out`, true},
		{[]string{"allow", site, "--header", "a b"}, exitUsage, `AllowedHeaders "a b" is no header name`, true},
		{[]string{"allow", site, "--max-age", "soon"}, exitUsage, "--max-age \"soon\" is no duration", false},
		{[]string{"allow", site, "--max-age", "-1s"}, exitUsage, "is no duration", false},
		{[]string{"deny"}, exitUsage, "which site to deny?", false},
		{[]string{"deny", site}, exitNotFound, "no rule names https://app.example.gov", false},
		{[]string{"apply"}, exitUsage, "takes one file", false},
		{[]string{"apply", "/nonexistent"}, exitNotFound, "no such file", false},
		{[]string{"apply", t.TempDir()}, exitFailed, "is a directory", false},
		{[]string{"apply", file("{")}, exitUsage, "line 1: unexpected end of JSON input", false},
		{[]string{"apply", file("[]")}, exitUsage, "has no rules", false},
		{[]string{"apply", file(handbook)}, exitUsage, "handbook's placeholder", true},
		{[]string{"apply", file(handbook)}, exitUsage, `"AllowedOrigins": ["https://your-app.app.cloud.gov"]`, true},
		{[]string{"clear", "now"}, exitUsage, "now", false},
		{[]string{"clear", "help"}, exitUsage, "help", false},
		{[]string{"shwo"}, exitUsage, "there is no command \"cors shwo\"\n  cgs3fs cors --help lists them", false},
		{[]string{"allow", site, "--metod", "PUT"}, exitUsage, "-metod", false},
		{[]string{"undo"}, exitNotFound, "no change of the CORS rules of cg-1 is kept here", false},
		{[]string{"test"}, exitUsage, "which site's pages?", false},
		{[]string{"test", "--origin", "app.example.gov"}, exitUsage, "has no scheme", false},
		{[]string{"test", "--origin", "https://*.gov"}, exitUsage, "is a pattern", false},
	} {
		d := newCORSDesk(t)
		if c.status == exitUsage && !c.late {
			d.noBucket = errors.New("no bucket was needed to see that")
		}
		d.want(c.status, c.args...)
		d.wantText(&d.err, c.want)
		if n := strings.Count(strings.TrimSpace(d.err.String()), "\n"); n > 1 {
			t.Errorf("cors %q: more than a line and a hint:\n%s", c.args, &d.err)
		}
		d.wantRules()
	}
}

func TestCORSOldErrorsDontStopAChange(t *testing.T) {
	d := newCORSDesk(t)
	d.set(siteRule(readOnly, "YOUR.OTHER.APP.IP"))
	d.want(exitOK, "allow", site, "--yes")
	d.wantText(&d.err, "warning: rule 1: AllowedOrigins \"YOUR.OTHER.APP.IP\"")
	d.want(exitOK, "deny", "YOUR.OTHER.APP.IP", "--yes")
	d.wantRules(siteRule(readOnly, site))
}

func TestCORSDenySaysWhatAPatternStillAllows(t *testing.T) {
	d := newCORSDesk(t)
	d.set(siteRule(readOnly, site, "https://*.example.gov"))
	d.want(exitPartly, "deny", site, "--yes")
	d.wantRules(siteRule(readOnly, "https://*.example.gov"))
	d.wantText(&d.err, "still allowed by https://*.example.gov")
	d.want(exitNotFound, "deny", site, "--yes")
	d.wantText(&d.err, "it is allowed by https://*.example.gov")
	d.want(exitOK, "deny", "https://*.example.gov", "--yes")
	d.wantRules()
}

func TestCORSAllowByIDRefusesToMix(t *testing.T) {
	d := newCORSDesk(t)
	r := siteRule([]string{"PUT"}, other)
	r.ID = "w"
	d.set(r)
	d.want(exitRefused, "allow", site, "--id", "w", "--yes")
	d.wantRules(r)
}

func TestCORSNothingToChangeWritesNothing(t *testing.T) {
	d := newCORSDesk(t)
	d.set(siteRule(readOnly, site))
	d.rules.failPut = errors.New("must not be called")
	d.want(exitOK, "allow", site)
	d.wantText(&d.out, "nothing to change")
}

func TestCORSNoticesAChangeInBetween(t *testing.T) {
	d := newCORSDesk(t)
	d.rules.onRead = func(n int) {
		if n == 2 {
			d.set(siteRule([]string{"PUT"}, "https://theirs.gov"))
		}
	}
	d.want(exitDiffers, "allow", site, "--yes")
	d.wantRules(siteRule([]string{"PUT"}, "https://theirs.gov"))
	d.wantText(&d.err, "+       - https://theirs.gov")
	d.rules.onRead = nil
	d.want(exitNotFound, "undo", "--yes")
}

func TestCORSReadsBackAfterWriting(t *testing.T) {
	d := newCORSDesk(t)
	d.rules.onRead = func(n int) {
		if n == 3 {
			d.set(siteRule(readOnly, "https://theirs.gov"))
		}
	}
	d.want(exitDiffers, "allow", site, "--yes")
	d.wantText(&d.err, "are now others")
}

func TestCORSWaitsForTheServerToShowTheChange(t *testing.T) {
	for _, c := range []struct{ shownAt, status int }{{5, exitOK}, {100, exitPartly}} {
		d := newCORSDesk(t)
		late := &lateCORS{steadyCORS: d.rules, shownAt: c.shownAt}
		d.session.rules = late
		d.want(c.status, "allow", site, "--yes")
	}
}

// lateCORS shows what was written only from the shownAt-th read on.
type lateCORS struct {
	*steadyCORS
	shownAt, count int
}

func (c *lateCORS) GetCORS(ctx context.Context) ([]s3.CORSRule, error) {
	c.count++
	if c.count < c.shownAt {
		return nil, nil
	}
	return c.steadyCORS.GetCORS(ctx)
}

func TestCORSFailedWriteLeavesNothingToUndo(t *testing.T) {
	d := newCORSDesk(t)
	d.rules.failPut = &s3.Error{Op: "PutBucketCors", Kind: s3.ErrDenied, Code: "AccessDenied", Status: 403}
	d.want(exitDenied, "allow", site, "--yes")
	d.rules.failPut = nil
	d.want(exitNotFound, "undo", "--yes")
}

func TestCORSUnansweredWriteCanBeUndone(t *testing.T) {
	d := newCORSDesk(t)
	d.set(siteRule(readOnly, other))
	d.rules.failPut = &s3.Error{Op: "PutBucketCors", Kind: s3.ErrUnavailable}
	d.want(exitUnavailable, "allow", site, "--yes")
	d.rules.failPut = nil
	d.set(siteRule(readOnly, other, site)) // it happened all the same
	d.want(exitOK, "undo", "--yes")
	d.wantRules(siteRule(readOnly, other))
}

func TestCORSTellsOnlyNewWarnings(t *testing.T) {
	d := newCORSDesk(t)
	d.set(siteRule(readOnly, "http://old.gov"))
	d.want(exitOK, "allow", "http://new.gov", "--yes")
	d.wantText(&d.err, "http://new.gov")
	if strings.Contains(d.err.String(), "http://old.gov") {
		t.Errorf("an old warning again:\n%s", &d.err)
	}
}

func TestCORSUndoNoticesSomebodyElse(t *testing.T) {
	d := newCORSDesk(t)
	d.want(exitOK, "allow", site, "--yes")
	theirs := siteRule([]string{"PUT"}, "https://theirs.gov")
	d.set(theirs)
	d.want(exitDiffers, "undo", "--yes")
	d.wantRules(theirs)
	d.want(exitOK, "undo", "--yes", "--force")
	d.wantRules()
}

func TestCORSUndoPassesOverAChangeThatNeverHappened(t *testing.T) {
	d := newCORSDesk(t)
	d.want(exitOK, "allow", site, "--yes")
	// A crash between keeping a change and making it.
	_, err := d.session.history.save(corsChange{
		Time: d.session.now(), Op: "clear", Before: d.current(), After: nil,
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, how := range []string{"--dry-run", "--yes"} {
		d.want(exitOK, "undo", how)
		d.wantText(&d.out, "undoing: cors clear")
		d.wantRules(siteRule(readOnly, site))
	}
	d.want(exitOK, "undo", "--yes")
	d.wantRules()
}

func TestCORSHistoryIsPrivate(t *testing.T) {
	d := newCORSDesk(t)
	d.want(exitOK, "allow", site, "--yes")
	dir := d.session.history.dir
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Fatalf("%v, %v", entries, err)
	}
	for path, want := range map[string]os.FileMode{dir: 0o700 | os.ModeDir, filepath.Join(dir, entries[0].Name()): 0o600} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != want {
			t.Errorf("%s: mode %v, want %v", path, info.Mode(), want)
		}
	}
}

func TestCORSHistoryStaysBelowItsDirectory(t *testing.T) {
	for _, name := range []string{"..", "../x", "a/b", "", "a.b-c", "127.0.0.1:7070", ".hidden", "a%2Fb"} {
		h := newCORSHistory("/state", name, "server")
		rel, err := filepath.Rel("/state/cors", h.dir)
		if name != "" && (err != nil || strings.Count(rel, "/") != 1 || strings.HasPrefix(rel, "..")) {
			t.Errorf("%q: %s", name, h.dir)
		}
	}
	if newCORSHistory("/s", "a/b", "x") == newCORSHistory("/s", "a%2Fb", "x") {
		t.Error("two buckets share a directory")
	}
}

// corsServer answers by rules as S3 documents it, requests only if signed.
func corsServer(t *testing.T, rules func() []cors.Rule) *url.URL {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := cors.Request{Origin: r.Header.Get("Origin"), Method: r.Method}
		status := http.StatusForbidden
		if r.Header.Get("Authorization") == "" && r.Method != http.MethodOptions {
			w.WriteHeader(status)
			return
		}
		if r.Method == http.MethodOptions {
			q.Preflight, q.Method = true, r.Header.Get("Access-Control-Request-Method")
			q.Headers = cors.ParseHeaders(r.Header.Get("Access-Control-Request-Headers"))
		}
		if a := cors.Evaluate(rules(), q); a.Allowed {
			w.Header().Set("Access-Control-Allow-Origin", a.AllowOrigin)
			w.Header().Set("Access-Control-Allow-Methods", strings.Join(a.AllowMethods, ", "))
			w.Header().Set("Access-Control-Allow-Headers", strings.Join(a.AllowHeaders, ", "))
			if q.Preflight {
				status = http.StatusOK
			}
		}
		w.WriteHeader(status)
	}))
	t.Cleanup(srv.Close)
	u, err := url.Parse(srv.URL + "/cg-1")
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestCORSTestAsksRulesAndServer(t *testing.T) {
	d := newCORSDesk(t)
	served := d.current
	base := corsServer(t, func() []cors.Rule { return served() })
	d.session.objectURL = func(key string) *url.URL { return objectURL(base, key) }
	d.set(
		cors.Rule{ID: "web", AllowedOrigins: []string{site}, AllowedMethods: []string{"GET", "PUT"}, AllowedHeaders: []string{"content-type"}},
	)
	d.want(exitOK, "test", "--origin", site)
	d.want(exitOK, "test", "--origin", site, "--method", "put", "--header", "Content-Type, Accept")
	d.wantText(&d.out, "allowed by rule 1 (web)")
	d.wantText(&d.out, "allowed (HTTP 200, Access-Control-Allow-Origin: https://app.example.gov)")
	d.want(exitFailed, "test", "--origin", site, "--method", "DELETE")
	d.wantText(&d.out, "rule 1 (web) allows GET, PUT, not DELETE")
	d.wantText(&d.out, "refused (HTTP 403)")
	d.want(exitFailed, "test", "--origin", "https://app.example.gov:8443", "--json")
	d.wantText(&d.out, `"rules_allow": false`)
	d.wantText(&d.out, "differs in the port")

	served = func() []cors.Rule { return nil }
	d.want(exitDiffers, "test", "--origin", site)
	d.set()
	d.want(exitFailed, "test", "--origin", site)
	d.wantText(&d.out, "refused: there are no rules")
}

func TestCORSTestSaysWhenTheServerCantBeReached(t *testing.T) {
	d := newCORSDesk(t)
	srv := httptest.NewServer(http.NotFoundHandler())
	base, err := url.Parse(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	srv.Close()
	d.session.objectURL = func(key string) *url.URL { return objectURL(base, key) }
	d.want(exitUnavailable, "test", "--origin", site)
}
