package cors

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestDiffShowsWhatChanges(t *testing.T) {
	web := Rule{
		ID: "web", AllowedOrigins: words("https://a.example.gov", "https://b.example.gov"),
		AllowedMethods: words("GET", "HEAD"), ExposeHeaders: words("ETag"), MaxAgeSeconds: seconds32(3600),
	}
	widened := clone(web)
	widened.AllowedOrigins = append(widened.AllowedOrigins, "https://c.example.gov")
	widened.MaxAgeSeconds = nil
	var many []Rule
	for i := range 4 {
		many = append(many, rule1(words(fmt.Sprintf("https://%d.example.gov", i)), words("GET", "PUT"), words("*"), words("ETag")))
	}
	fewer := append(cloneAll(many[:1]), many[2:]...)
	for name, c := range map[string][2][]Rule{
		"first":   {nil, {web}},
		"cleared": {{web}, nil},
		"widened": {{web}, {widened}},
		"removed": {many, fewer},
		"same":    {many, cloneAll(many)},
	} {
		got := Diff(c[0], c[1])
		golden := filepath.Join("testdata", "diff-"+name+".golden")
		if *update {
			if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(string(want), got); d != "" {
			t.Errorf("%s (-want +got)\n%s", name, d)
		}
	}
}

func TestDiffLinesRebuildBothSides(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := rapid.SliceOf(rapid.SampledFrom(words("  - x", "y", "z"))).Draw(t, "a")
		b := rapid.SliceOf(rapid.SampledFrom(words("  - x", "y", "z"))).Draw(t, "b")
		var gotA, gotB []string
		for _, l := range atRules(align(a, b)) {
			if l[0] != '+' {
				gotA = append(gotA, l[2:])
			}
			if l[0] != '-' {
				gotB = append(gotB, l[2:])
			}
		}
		if strings.Join(gotA, "") != strings.Join(a, "") || strings.Join(gotB, "") != strings.Join(b, "") {
			t.Fatalf("%q %q: %q", a, b, align(a, b))
		}
	})
}
