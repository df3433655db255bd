package cors

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// documents are configurations as people write them for aws.
func documents(t *testing.T) map[string]string {
	t.Helper()
	example, err := os.ReadFile("../../cors/testdata/example.json")
	if err != nil {
		t.Fatal(err)
	}
	return map[string]string{
		"what cors.JSON is tested with": string(example),
		"handbook, corrected": `{"CORSRules": [{"AllowedOrigins": ["https://other.app.cloud.gov"], "AllowedHeaders": ["*"],
			"AllowedMethods": ["HEAD", "GET"], "ExposeHeaders": ["ETag"]}]}`,
		"everything": `{"CORSRules": [
			{"ID": "web & <more> é \"q\" \\", "AllowedOrigins": ["https://a.example.gov", "https://*.b.example.gov"],
			 "AllowedMethods": ["GET", "PUT", "POST", "DELETE", "HEAD"], "AllowedHeaders": ["x-amz-*", "Content-Type"],
			 "ExposeHeaders": ["ETag", "x-amz-version-id"], "MaxAgeSeconds": 0},
			{"AllowedOrigins": ["http://localhost:3000"], "AllowedMethods": ["GET"], "MaxAgeSeconds": 86400}]}`,
	}
}

func TestRulesSetByAWSAreShownByOursAndTheOtherWayRound(t *testing.T) {
	for name, doc := range documents(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // aws takes a second to start
			roundTrip(t, doc)
		})
	}
}

func roundTrip(t *testing.T, doc string) {
	byAWS, byUs := newDesk(t), newDesk(t)
	file := filepath.Join(t.TempDir(), "cors.json")
	if err := os.WriteFile(file, []byte(doc), 0o600); err != nil {
		t.Fatal(err)
	}
	byAWS.aws("put-bucket-cors", "--cors-configuration", "file://"+file)
	byUs.cors("apply", file, "--yes")
	want := byAWS.aws("get-bucket-cors")
	for who, got := range map[string]string{
		"set by aws, shown by us":  byAWS.cors("show", "--json").Stdout,
		"set by us, shown by aws":  byUs.aws("get-bucket-cors"),
		"set by us, shown by us":   byUs.cors("show", "--json").Stdout,
		"ours, applied again, aws": applyAgain(t, byUs),
	} {
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-aws +got)\n%s", who, diff)
		}
	}
}

// applyAgain takes a round trip: what show prints, put by aws into the same
// bucket, shown by aws.
func applyAgain(t *testing.T, d *desk) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "again.json")
	if err := os.WriteFile(file, []byte(d.cors("show", "--json").Stdout), 0o600); err != nil {
		t.Fatal(err)
	}
	d.aws("put-bucket-cors", "--cors-configuration", "file://"+file)
	return d.aws("get-bucket-cors")
}

func TestRulesSetByAWSAreChangedAndRemovedByOurs(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	const rule = `{"CORSRules":[{"AllowedOrigins":["https://a.example.gov"],"AllowedMethods":["GET","HEAD"]}]}`
	d.aws("put-bucket-cors", "--cors-configuration", rule)
	before := d.aws("get-bucket-cors")
	d.cors("allow", "https://b.example.gov", "--yes")
	if after := d.aws("get-bucket-cors"); !strings.Contains(after, `"https://a.example.gov",`) || !strings.Contains(after, `"https://b.example.gov"`) {
		t.Errorf("after allow, aws prints\n%s", after)
	}
	d.cors("undo", "--yes")
	if after := d.aws("get-bucket-cors"); after != before {
		t.Errorf("after undo, aws prints\n%s", after)
	}
	d.cors("clear", "--yes")
	if r := d.tryAWS("get-bucket-cors"); !strings.Contains(r.Stderr, "NoSuchCORSConfiguration") {
		t.Errorf("after clear, aws prints status %d %s%s", r.Status, r.Stdout, r.Stderr)
	}
	d.cors("undo", "--yes")
	d.aws("delete-bucket-cors")
	if got := d.cors("show").Stdout; !strings.Contains(got, "has no CORS rules") {
		t.Errorf("after aws removed the rules, show prints %q", got)
	}
}

func TestCommandsOnTheRealServer(t *testing.T) {
	d := newDesk(t)
	const site = "https://app.example.gov"
	if r := d.try("test", "--origin", site); r.Status != 1 {
		t.Errorf("test without rules: status %d\n%s%s", r.Status, r.Stdout, r.Stderr)
	}
	d.cors("allow", site, "--method", "GET,PUT", "--header", "content-type", "--expose", "ETag", "--max-age", "1h", "--id", "web", "--yes")
	d.cors("test", "--origin", site)
	d.cors("test", "--origin", site, "--method", "PUT", "--header", "content-type", "--object", "a/b c//d+é")
	if r := d.try("test", "--origin", site, "--method", "DELETE"); r.Status != 1 || !strings.Contains(r.Stdout, "rule 1 (web) allows GET, PUT, not DELETE") {
		t.Errorf("test of what isn't allowed: status %d\n%s%s", r.Status, r.Stdout, r.Stderr)
	}
	if r := d.try("deny", "https://other.example.gov", "--yes"); r.Status != 4 {
		t.Errorf("deny of an unknown site: status %d\n%s%s", r.Status, r.Stdout, r.Stderr)
	}
	if r := d.try("allow", "YOUR.OTHER.APP.IP", "--yes"); r.Status != 2 || strings.Count(r.Stderr, "\n") != 2 {
		t.Errorf("the handbook's example: status %d\n%s%s", r.Status, r.Stdout, r.Stderr)
	}
	if r := d.try("allow", site, "--method", "DELETE"); r.Status != 2 || !strings.Contains(r.Stderr, "--yes") {
		t.Errorf("without --yes and a terminal: status %d\n%s%s", r.Status, r.Stdout, r.Stderr)
	}
	if got := d.cors("show").Stdout; !strings.Contains(got, site) || !strings.Contains(got, "1h0m0s") {
		t.Errorf("show prints\n%s", got)
	}
}
